"""Pictures of digits, prepared as MNIST's images were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fastnn
from fastnn.datasets import read_digit
from fastnn.datasets.directory import DataSet

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def network(mnist: DataSet) -> fastnn.TwoLayerNet:
    (x, t), _ = mnist
    with fastnn.use_backend("numpy"):
        network = fastnn.TwoLayerNet(784, 30, 10, seed=0)
    fastnn.fit(network, x[:30000], t[:30000], epochs=5, seed=0, progress=False)
    return network


@pytest.fixture(scope="module")
def images(mnist: DataSet) -> Any:
    x = np.asarray(mnist[1][0][:120])
    return np.round(x * 255).astype("uint8").reshape(-1, 28, 28)


def said(network: fastnn.TwoLayerNet, *paths: Path) -> list[int]:
    x = np.array([read_digit(path).reshape(-1) for path in paths], "float32") / 255
    return [int(label) for label in fastnn.to_numpy(network.predict_classes(x))]


def on_canvas(image: Any, place: tuple[int, int]) -> Image.Image:
    """A digit of 120 pixels on a canvas of 200 x 200, dark on light."""
    large = Image.fromarray(255 - image).resize((168, 168), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (200, 200), 255)
    canvas.paste(large, place)
    return canvas


def test_images_of_mnist_stay_as_they_are(images: Any, tmp_path: Path) -> None:
    for image in images:
        Image.fromarray(image).save(tmp_path / "image.png")
        found = read_digit(tmp_path / "image.png")
        assert found.dtype == np.uint8
        np.testing.assert_allclose(found.astype(int), image, atol=3)


def test_digits_anywhere_on_a_canvas(
    network: fastnn.TwoLayerNet, images: Any, mnist: DataSet, tmp_path: Path
) -> None:
    rng, right = np.random.default_rng(0), 0
    for image, label in zip(images, mnist[1][1], strict=False):
        on_canvas(image, tuple(rng.integers(-20, 52, 2))).save(tmp_path / "canvas.png")
        right += said(network, tmp_path / "canvas.png") == [label]
    assert right >= 0.93 * len(images)


def test_photographs_with_shadows_and_noise(
    network: fastnn.TwoLayerNet, images: Any, mnist: DataSet, tmp_path: Path
) -> None:
    rng, right = np.random.default_rng(1), 0
    shadow = np.linspace(-15, 15, 400)
    for image, label in zip(images[:60], mnist[1][1], strict=False):
        paper = 200 + shadow + rng.normal(0, 4, (300, 400))
        top, left = rng.integers(0, 200), rng.integers(0, 300)
        small = np.asarray(Image.fromarray(image).resize((90, 90), Image.Resampling.BICUBIC))
        paper[top : top + 90, left : left + 90] -= 0.6 * small
        photograph = Image.fromarray(np.clip(paper, 0, 255).astype("uint8"))
        photograph.save(tmp_path / "photograph.jpg", quality=70)
        right += said(network, tmp_path / "photograph.jpg") == [label]
    assert right >= 0.9 * 60


def test_pictures_in_the_repository(network: fastnn.TwoLayerNet) -> None:
    paths = sorted(DIGITS.glob("*.png"))
    assert len(paths) == 3
    assert said(network, *paths) == [int(path.name[0]) for path in paths]


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "CMYK", "1", "I;16", "I", "F"])
@pytest.mark.parametrize("light", [False, True])
def test_every_kind_of_pixel(images: Any, mode: str, light: bool, tmp_path: Path) -> None:
    plain = on_canvas(images[0], (10, 25))
    plain.save(tmp_path / "plain.png")
    right = read_digit(tmp_path / "plain.png")
    if light:
        plain = Image.fromarray(255 - np.asarray(plain))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(plain).astype("uint16") * 257)
    else:
        picture = plain.convert(mode)
    picture.save(tmp_path / "picture.tif")
    found = read_digit(tmp_path / "picture.tif")
    coarse = mode in ("1", "P")  # few levels
    assert np.abs(found.astype(int) - right).mean() <= (12 if coarse else 1)


def test_what_is_transparent_is_white(images: Any, tmp_path: Path) -> None:
    plain = on_canvas(images[1], (0, 30))
    plain.save(tmp_path / "plain.png")
    ink = 255 - np.asarray(plain)
    pixels = np.zeros((200, 200, 4), "uint8")  # black, with no mark but that in the alpha channel
    pixels[..., 3] = ink
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    np.testing.assert_allclose(
        read_digit(tmp_path / "picture.png").astype(int), read_digit(tmp_path / "plain.png"), atol=2
    )


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_photograph_is_turned(images: Any, orientation: int, turns: int, tmp_path: Path) -> None:
    upright = on_canvas(images[2], (5, 30))
    stored = Image.fromarray(np.rot90(np.asarray(upright), turns).copy())
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    np.testing.assert_array_equal(
        read_digit(tmp_path / "turned.png"), read_digit(tmp_path / "upright.png")
    )


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (300, 200)])
def test_an_empty_picture_is_an_error(level: int, size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("L", size, level).save(tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"empty\.png: nothing is drawn in it"):
        read_digit(tmp_path / "empty.png")


@pytest.mark.parametrize(("paper", "pen"), [(110, 20), (110, 200), (150, 60), (150, 250)])
def test_grey_paper(images: Any, paper: int, pen: int, tmp_path: Path) -> None:
    share = 1 - np.asarray(on_canvas(images[3], (10, 25))) / 255
    Image.fromarray(np.rint(paper + (pen - paper) * share).astype("uint8")).save(
        tmp_path / "grey.png"
    )
    on_canvas(images[3], (10, 25)).save(tmp_path / "plain.png")
    found = read_digit(tmp_path / "grey.png").astype(int)
    np.testing.assert_allclose(found, read_digit(tmp_path / "plain.png"), atol=6)


def test_a_picture_that_cannot_be_read_is_named(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "digit.png"
    on_canvas(images[0], (10, 25)).save(whole)
    whole.write_bytes(whole.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"digit\.png: Pillow cannot read this picture: "):
        read_digit(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    on_canvas(images[0], (10, 25)).save(whole)
    with pytest.raises(ValueError, match=r"digit\.png: Pillow .* exceeds limit"):
        read_digit(whole)


def test_a_dot_and_a_line(tmp_path: Path) -> None:
    for box in ((50, 60, 50, 60), (10, 5, 10, 90), (0, 40, 99, 40)):
        pixels = np.zeros((100, 100), "uint8")
        pixels[box[1] : box[3] + 1, box[0] : box[2] + 1] = 255
        Image.fromarray(pixels).save(tmp_path / "mark.png")
        found = read_digit(tmp_path / "mark.png", side=20)
        assert found.shape == (20, 20)
        assert found.max() == 255
        rows, columns = np.nonzero(found)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == round(20 * 20 / 28)


def test_pixels_that_are_not_finite(tmp_path: Path) -> None:
    pixels = np.zeros((30, 30), "float32")
    pixels[3, 3] = np.nan
    Image.fromarray(pixels).save(tmp_path / "picture.tif")
    with pytest.raises(ValueError, match="NaN or infinite"):
        read_digit(tmp_path / "picture.tif")


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("hello", "utf-8")
    with pytest.raises(ValueError, match="neither an IDX file nor a picture"):
        read_digit(tmp_path / "words")
