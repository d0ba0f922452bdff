"""Settings of the notebook tests: outputs that say nothing about results are not compared."""


def pytest_collectstart(collector):
    # nbval compares these in strict mode: warnings and start-up lines on stderr differ by machine,
    # and a table's HTML carries what its plain text already says.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
