"""Models in Cloud Storage, against gcp-storage-emulator."""

import pytest

from skincnn import artefact, cloud, gcp

pytest.importorskip("gcp_storage_emulator", reason="needs gcp-storage-emulator")
pytest.importorskip("google.cloud.storage", reason="needs google-cloud-storage")

from skincnn import rehearsal

FACTS = artefact.Facts("by_colour", ["benign", "malignant"], 32)
URI = f"gs://{rehearsal.BUCKET}/skincnn/by_colour/1"


@pytest.fixture
def google(monkeypatch):
    """Cloud Storage on this machine, and no patience with broken connections."""
    monkeypatch.setattr(gcp, "PATIENCE", 0.01)
    with rehearsal.Cloud() as there:
        yield there


@pytest.fixture
def model(tmp_path):
    """A sealed file: nothing here opens it."""
    path = tmp_path / "any_name.onnx"
    path.write_bytes(b"weights" * 1000)
    artefact.seal(path, FACTS)
    return path


@pytest.fixture
def folder(tmp_path):
    """A sealed SavedModel, as far as its seal knows."""
    path = tmp_path / "saved"
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    (path / "variables" / "variables.index").write_bytes(b"weights")
    artefact.seal(path, FACTS)
    return path


def place(name, data):
    """Write an object that `cloud.put` would not."""
    from google.cloud import storage

    storage.Client().bucket(rehearsal.BUCKET).blob(name).upload_from_string(data)


def test_a_file_goes_there_and_back(google, model, tmp_path):
    assert cloud.put(model, URI + "/") == URI
    assert google.objects() == ["skincnn/by_colour/1/model.onnx"]
    back = cloud.fetch(URI, tmp_path / "back")
    assert back == tmp_path / "back" / "model.onnx"
    assert back.read_bytes() == model.read_bytes()
    assert cloud.fetch(URI + "/model.onnx", tmp_path / "file").read_bytes() == model.read_bytes()


def test_a_folder_goes_there_and_back(google, folder, tmp_path):
    cloud.put(folder, URI)
    back = cloud.fetch(URI, tmp_path / "back")
    assert artefact.read(back) == artefact.read(folder)
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == ["model"]


def test_what_is_there_is_not_sent_again(google, model, tmp_path):
    cloud.put(model, URI)
    cloud.fetch(URI, tmp_path / "back")
    before = len(google.seen)
    cloud.put(model, URI)
    cloud.fetch(URI, tmp_path / "back")
    assert [seen.method for seen in google.seen[before:]] == ["GET", "GET"]  # two lists


@pytest.mark.parametrize("heard", [True, False])
def test_interrupted_at_each_request_and_repeated(google, folder, tmp_path, heard):
    cloud.put(folder, URI)
    whole = google.objects()
    steps = [
        lambda: cloud.remove(URI),
        lambda: cloud.put(folder, URI),
        lambda: cloud.fetch(URI, tmp_path / "back"),
    ]
    for number, step in enumerate(steps):
        for at in range(10):
            google.hang_up(at, heard)
            try:
                step()
            except gcp.CloudError as error:
                assert "connection broke" in str(error)
            else:
                break
            assert not (tmp_path / "back" / "model").exists()
        assert at > 1, number
        google.mend()
        step()
        assert google.objects() == ([] if number == 0 else whole)
    assert artefact.read(tmp_path / "back" / "model") == artefact.read(folder)


def test_goes_on_where_it_was_interrupted(google, model, tmp_path, monkeypatch):
    monkeypatch.setattr(cloud, "_CHUNK", 2000)
    cloud.put(model, URI)
    google.hang_up(3, heard=False)  # a list, two pieces, and no more
    with pytest.raises(gcp.CloudError):
        cloud.fetch(URI, tmp_path / "back")
    google.mend()
    before = len(google.seen)
    cloud.fetch(URI, tmp_path / "back")
    size = model.stat().st_size
    assert len(google.seen) - before == 1 + -(-(size - 4000) // 2000)


def test_a_damaged_model_is_refused_and_not_kept(google, model, tmp_path):
    cloud.put(model, URI)
    damaged = bytearray(model.read_bytes())
    damaged[3] ^= 1
    place("skincnn/by_colour/1/model.onnx", bytes(damaged))
    with pytest.raises(artefact.ArtefactError, match=f"{URI}: its checksum is wrong"):
        cloud.fetch(URI, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://bucket/x", "gs://BUCKET/FOLDER"),
        ("gs://", "gs://BUCKET/FOLDER"),
        (f"gs://{rehearsal.BUCKET}/nothing/here", "no model there"),
        ("gs://another-bucket/x", "no such thing"),
    ],
)
def test_other_addresses_are_told(google, tmp_path, uri, says):
    with pytest.raises(gcp.CloudError, match=says):
        cloud.fetch(uri, tmp_path)


def test_names_cannot_leave_the_folder(google, tmp_path):
    place("models/C:escaped.onnx", b"x")
    with pytest.raises(gcp.CloudError, match="no name of a model's file"):
        cloud.fetch(f"gs://{rehearsal.BUCKET}/models", tmp_path)
    assert cloud.stays_below("variables/variables.index")
    for name in ("../x", "a/../../x", "/etc/x", "a//x", "", "C:x", "a/./x"):
        assert not cloud.stays_below(name), name


def test_a_whole_bucket_is_not_removed(google):
    with pytest.raises(gcp.CloudError, match="whole bucket"):
        cloud.remove(f"gs://{rehearsal.BUCKET}")


def test_offline_is_told_at_once(model, monkeypatch):
    monkeypatch.setenv(cloud.EMULATOR, "http://127.0.0.1:9")
    with pytest.raises(gcp.CloudError, match="no connection: is this machine online"):
        cloud.put(model, URI)


def test_a_redirect_is_not_followed(google, model):
    with rehearsal.Cloud() as elsewhere:
        elsewhere.redirect = google.host
        with pytest.raises(gcp.CloudError, match="redirect"):
            cloud.put(model, URI)
        assert elsewhere.seen and not google.seen
