"""Drawn faces: what they are drawn from is what shows, ties are as strong as asked, and a face is its stream's own."""

import time

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.domains.images.faces import EDGE, FACTORS, Tie, draw_faces, draw_factors, with_factors
from zsteer.domains.images.likeness import ssim
from zsteer.domains.images.properties import FACES
from zsteer.errors import InputError

MIDDLE = torch.full((1, len(FACTORS)), 0.5)


def test_a_face_depends_on_its_stream_alone():
    whole = draw_factors(Streams.of(4, 9), [Tie(("age", "glasses"), 0.5)])
    alone = draw_factors(Streams.of(4, 1, start=6), [Tie(("age", "glasses"), 0.5)])
    assert torch.equal(whole[6:7], alone)
    # Sums in another order differ in the last bits of float32.
    assert torch.allclose(draw_faces(whole)[6:7], draw_faces(alone), atol=1e-6)


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_shows_and_more_of_it_shows_more(name):
    """The way from 0 to 1 leads further and further from the face at 0, and no other factor gives the same face."""
    ends = [draw_faces(with_factors(MIDDLE, **{name: value})) for value in (0.0, 0.25, 0.5, 1.0)]
    far = [float((one - ends[0]).square().mean().sqrt()) for one in ends]
    assert far[0] == 0 < far[1] < far[2] < far[3]
    assert far[3] > 0.04  # a factor that hardly shows could not be read back
    assert FACES[name].help.startswith("of a face: 0 ")


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.95])
def test_tied_factors_are_as_correlated_as_asked(rho):
    """Pearson of uniforms under a normal copula is 6 / pi asin(rho / 2); 4,000 faces know it to 0.03."""
    n = 4000
    found = draw_factors(Streams.of(1, n), [Tie(("smile", "skin"), rho)]).double()
    corr = torch.corrcoef(found.T)
    wanted = 6 / torch.pi * torch.asin(torch.tensor(rho / 2))
    assert float(corr[FACTORS.index("smile"), FACTORS.index("skin")]) == pytest.approx(float(wanted), abs=0.05)
    assert abs(float(corr[FACTORS.index("smile"), FACTORS.index("age")])) < 0.06
    assert torch.allclose(found.mean(0), torch.full((12,), 0.5, dtype=torch.float64), atol=0.03)


def test_faces_are_drawn_fast_enough():
    factors = draw_factors(Streams.of(0, 256))
    draw_faces(factors[:128])
    began = time.process_time()
    draw_faces(factors)
    assert 256 / (time.process_time() - began) > 500  # faces a CPU-second; 2,600 on one core of 2.5 GHz


def test_pictures_lie_in_the_unit_interval_and_have_one_size():
    x = draw_faces(torch.cat([torch.zeros(1, 12), torch.ones(1, 12)]))
    assert x.shape == (2, 3, EDGE, EDGE)
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert draw_faces(torch.zeros(0, 12)).shape == (0, 3, EDGE, EDGE)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Tie(("smyle",), 0.5),
        lambda: Tie(("smile", "age"), 1.0),
        lambda: with_factors(MIDDLE, smyle=0.5),
        lambda: draw_faces(MIDDLE + 1),
    ],
)
def test_what_no_face_can_be_is_refused(broken):
    with pytest.raises(InputError):
        broken()


def test_ssim_against_its_closed_form():
    """Of two flat pictures only the means are left: (2 a b + C1) / (a^2 + b^2 + C1); of a picture with itself 1."""
    a, b = torch.full((1, 1, 16, 16), 0.3).double(), torch.full((1, 1, 16, 16), 0.6).double()
    assert float(ssim(a, b)) == pytest.approx((2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4), abs=1e-9)
    x = Streams.of(0, 2).uniform("x", (3, 16, 16)).double()
    assert torch.allclose(ssim(x, x), torch.ones(2).double())
    assert float(ssim(x, 1 - x).max()) < 0
    with pytest.raises(InputError):
        ssim(a[..., :8], b[..., :8])
