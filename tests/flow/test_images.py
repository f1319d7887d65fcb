from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.flow.images import keep, load, load_image, to_base64
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.values import Image, Text, to_plain

PNG = b"\x89PNG\r\n\x1a\n and what follows"
TEXT = base64.b64encode(PNG).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow" / "pics").mkdir(parents=True)
    (tmp_path / "flow" / "pics" / "a.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return tmp_path / "flow"


def test_an_image_is_its_bytes_with_a_type() -> None:
    image = Image(PNG)
    assert image == PNG
    assert (image._mime_type, image.source_url) == ("image/png", None)
    assert str(image) == repr(image) == "Image(e739fd17)"
    assert image.to_base64(with_type=True) == f"data:image/png;base64,{TEXT}"
    assert Image(b"?")._mime_type == "image/*"
    assert Image(PNG, "image/WEBP")._mime_type == "image/webp"


def test_an_image_survives_a_process_border() -> None:
    image = pickle.loads(pickle.dumps(Image(b"x", "image/gif", "https://example.org/x.gif")))
    assert (image, image._mime_type, image.source_url) == (b"x", "image/gif", "https://example.org/x.gif")


@pytest.mark.parametrize(
    "value",
    [
        {"data:image/png;path": "pics/a.png"},
        {"data:image/png;base64": TEXT},
        {"data:image/png;base64": f"data:image/png;base64,{TEXT}"},
        '{"data:image/png;path": "pics/a.png"}',
        "pics/a.png",
        TEXT,
        f"data:image/png;base64,{TEXT}",
    ],
)
def test_an_image_input_may_be_given_in_each_way(value: Any, folder: Path) -> None:
    image = load_image(value, "basic", [folder])
    assert (image, image._mime_type) == (PNG, "image/png")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "image_file", "image_file": {"path": "pics/a.png"}},
        {"type": "image_url", "image_url": {"url": TEXT}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}},
    ],
)
def test_the_second_format_is_read_where_the_flow_says_so(value: Any, folder: Path) -> None:
    assert load_image(value, "openai-vision", [folder]) == PNG
    assert load(value, "basic", [folder]) == value


def test_images_are_found_however_deep_they_lie(folder: Path) -> None:
    image = {"data:image/png;path": "pics/a.png"}
    found = load([{"q": ["what?", image]}, image, {"a": 1, "data:image/png;path": "no"}], "basic", [folder])
    assert found == [{"q": ["what?", PNG]}, PNG, {"a": 1, "data:image/png;path": "no"}]
    assert isinstance(found[0]["q"][1], Image)


def test_text_parts_keep_their_annotations(folder: Path) -> None:
    part = {"type": "text", "text": {"value": "hi", "annotations": [1]}}
    [text] = load([part], "openai-vision", [folder])
    assert (text, type(text)) == ("hi", Text)
    assert keep([text], "openai-vision", folder) == [part]


def test_an_address_is_never_fetched(folder: Path) -> None:
    image = load_image({"data:image/png;url": "http://127.0.0.1:9/x.png"}, "basic", [folder])
    assert (image, image.source_url) == (b"", "http://127.0.0.1:9/x.png")
    assert keep(image, "basic", folder) == {"data:image/png;url": "http://127.0.0.1:9/x.png"}
    assert to_plain(image) == {"data:image/png;url": "http://127.0.0.1:9/x.png"}


@pytest.mark.parametrize("path", ["../secret.png", "link.png", "{root}/secret.png", "pics/none.png"])
def test_a_path_stays_inside_its_folders(path: str, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    with pytest.raises(ValueError, match=r"outside the folder|there is no image"):
        load_image({"data:image/png;path": path.format(root=folder.parent)}, "basic", [folder])


def test_a_file_that_is_no_image_is_not_read_as_one(folder: Path) -> None:
    (folder / ".env").write_text("KEY=hidden")
    (folder / "drawn.svg").write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>')
    with pytest.raises(ValueError, match="no image of a known type"):
        load_image(".env", "basic", [folder])
    assert (
        load_image({"data:image/svg+xml;path": "drawn.svg"}, "basic", [folder])._mime_type == "image/svg+xml"
    )


@pytest.mark.parametrize(
    "value",
    [{"a": "b"}, 5, None, "", {"data:image/png;base64": "no base64"}, {"data:image/png;url": "file:///etc"}],
)
def test_what_is_no_image_is_refused(value: Any, folder: Path) -> None:
    flow = Flow("f", inputs={"picture": FlowInput("image")}, folder=folder)
    with pytest.raises(InputError, match=r"inputs.picture: "):
        coerce_inputs(flow, {"picture": value})


def test_a_relative_path_is_looked_for_in_each_folder(folder: Path) -> None:
    elsewhere = folder.parent / "data"
    elsewhere.mkdir()
    (elsewhere / "b.png").write_bytes(b"GIF89a")
    flow = Flow("f", inputs={"p": FlowInput("image", default="pics/a.png")}, folder=folder)
    assert coerce_inputs(flow, {"p": "b.png"}, [elsewhere])[0]["p"] == b"GIF89a"
    assert coerce_inputs(flow, {}, [elsewhere])[0]["p"] == PNG


def test_text_that_is_an_image_already_is_kept_as_one(folder: Path) -> None:
    kept = keep({"a": {"data:image/png;base64": TEXT}}, "basic", folder)
    assert load(kept, "basic", [folder]) == {"a": PNG}
    assert keep({"data:image/png;base64": "?"}, "basic", folder) == {"data:image/png;base64": "?"}


def test_what_is_kept_can_be_read_again(folder: Path) -> None:
    value = {"picture": [Image(PNG), {"again": Image(PNG)}], "n": 1}
    kept = keep(value, "basic", folder / "images", shown="images/")
    assert len(list((folder / "images").iterdir())) == 1
    assert load(kept, "basic", [folder]) == value
    untouched = {"n": [1, {"a": "b"}]}
    assert keep(untouched, "basic", folder) is untouched


def test_images_become_text_for_an_answer_over_http() -> None:
    assert to_base64([Image(PNG)], "basic") == [{"data:image/png;base64": TEXT}]
    assert to_base64(Image(PNG), "openai-vision") == {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{TEXT}"},
    }
