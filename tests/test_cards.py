"""The model card says what the run's files say, and what it is not for."""

import pandas as pd
import tables

from skincnn import atomic, cards, evaluate, predictions, presets


def test_a_card_has_the_runs_figures_protocol_and_limits(tmp_path):
    table = tables.make(300, group=[f"L{i // 2}" for i in range(300)])
    predictions.write(table, tmp_path / "run/predictions.csv")
    settings = presets.get("transfer", image_size=192, pretrain="ham10000")
    facts = {"name": "isic9", "rows_sha256": "a" * 64, "pixels_sha256": "b" * 64}
    info = {
        "config": settings.asdict(),
        "classes": tables.NAMES,
        "precision_used": "float32",
        "data": facts,
        "versions": {"keras": "3.15.1"},
        "pretrained": {"photographs": 7000},
    }
    atomic.write_json(tmp_path / "run/config.json", info)
    people = table[["file"]].assign(skin_tone=["light", "dark", ""] * 100)
    people["lesion_id"] = ["L1", "L2", ""] * 100
    atomic.write_text(tmp_path / "run/note.md", "A figure was seen before.\n")
    text = cards.card(tmp_path / "run", people)
    metrics = evaluate.metrics(predictions.read(tmp_path / "run/predictions.csv"))
    assert evaluate.summary(metrics) in text
    assert "not a medical device" in text and "192 × 192" in text and "keras 3.15.1" in text
    assert "`label_smoothing" not in text and "`weights=imagenet`" in text
    assert (
        "`skincnn train --preset transfer --data isic9 --image-size 192 --set pretrain=ham10000`"
        in text
    )
    assert "300 photographs in 150 groups" in text
    lines = text.splitlines()
    [melanoma] = [line for line in lines if line.startswith("| melanoma |")]
    sensitivity = metrics["per_class"]["melanoma"]["sensitivity"]
    assert f"{100 * sensitivity:.1f} (" in melanoma
    [dark] = [line for line in lines if line.startswith("| dark |")]
    assert dark.split("|")[2].strip() == "100"
    true, predicted, _ = predictions.answers(table)
    worst = pd.Series(list(zip(true, predicted, strict=True)))[true != predicted].value_counts()
    assert f"- {worst.iloc[0]} of " in text
    assert "another collection" not in text
    assert "Of 200 of them the lesion is known; the others" in text and "seen before" in text
    elsewhere = people.assign(image_id=table["image_id"], file="other/" + people["file"])
    assert "Of 200 of them" in cards.card(tmp_path / "run", elsewhere), "joined by the archive's id"
    assert "first trained on 7,000 photographs of `ham10000`" in text
    elsewhere = evaluate.metrics(table[table["label"] != "nevus"])
    text = cards.card(tmp_path / "run", outside=elsewhere).split("## On another collection")[1]
    present = table["label"].nunique() - 1
    assert f"{present} of the {len(tables.NAMES)} classes" in text
    assert "| melanoma |" in text and "| nevus |" not in text
    assert f"{100 * elsewhere['balanced_accuracy']['value']:.1f} (" in text
