"""Slides on autoencoders: the objective of the WAE, its two penalties, the VAE, and the dWAE's loss."""

import math

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.maths.adversarial import latent_autoencoder_loss, latent_discriminator_loss
from zsteer.maths.divergences import vae_loss
from zsteer.maths.transport import inverse_multiquadric, mmd, wae_objective


def normal(n, d, purpose):
    return Streams.of(4, n).normal(purpose, (d,), dtype=torch.float64)


@pytest.mark.lecture("wae.mmd")
def test_mmd_penalty_is_the_printed_sum(measured):
    n = 9
    z, z_tilde = normal(n, 3, "z"), 0.5 + normal(n, 3, "z~")

    def k(a, b):
        return float(inverse_multiquadric(a[None], b[None])[0, 0])

    pairs = [(l, j) for l in range(n) for j in range(n)]
    value = sum(k(z[l], z[j]) for l, j in pairs if l != j) / (n * (n - 1))
    value += sum(k(z_tilde[l], z_tilde[j]) for l, j in pairs if l != j) / (n * (n - 1))
    value -= 2 * sum(k(z[l], z_tilde[j]) for l, j in pairs) / n**2
    error = abs(float(mmd(z, z_tilde)) - value)
    measured(error, "absolute difference from the double loop, float64")
    assert error < 1e-13


@pytest.mark.lecture("wae.objective")
def test_objective_of_a_line_is_known_in_closed_form(measured):
    """Truth: x ~ N(0, 1), z~ = a x, G(z) = b z: E c = (1 - ab)^2; at a = 1 the penalty vanishes, so b = 1 is free."""
    n = 20_000
    x = normal(n, 1, "x")
    a, b, weight = 1.0, 0.7, 10.0
    cost = (x - b * a * x).square().sum(-1)
    penalty = mmd(normal(2000, 1, "prior"), a * x[:2000])
    value = float(wae_objective(cost, penalty, weight).mean())
    error = abs(value - (1 - a * b) ** 2)
    measured(error, "Monte-Carlo difference from (1 - ab)^2 for n = 20,000")
    # At a = 0.5 the penalty has a value: it adds lambda times that to each cost.
    penalty = mmd(normal(2000, 1, "prior"), 0.5 * x[:2000])
    assert float(penalty) > 0.02
    given = wae_objective(torch.tensor([1.0, 2.0], dtype=torch.float64), penalty, weight)
    assert given.tolist() == pytest.approx([1 + 10 * float(penalty), 2 + 10 * float(penalty)], rel=1e-12)
    # Standard error of the cost: sqrt(2) (1 - ab)^2 / sqrt(n) = 9e-4; of 10 MMD^2 at n = 2,000: about 5e-3.
    assert error < 2e-2


@pytest.mark.lecture("wae.gan.discriminator")
def test_the_best_discriminator_is_the_density_ratio(measured):
    """Truth: minimising over the logit at one point gives log p_z / q_z, and the gradient there vanishes."""
    p, q = 0.3, 0.8  # densities of prior and code at one point
    logit = torch.tensor([math.log(p / q)], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    on_prior = latent_discriminator_loss(logit, zero, 2.0) - latent_discriminator_loss(zero, zero, 2.0)
    on_code = latent_discriminator_loss(zero, logit, 2.0) - latent_discriminator_loss(zero, zero, 2.0)
    (p * on_prior + q * on_code).sum().backward()
    d = torch.sigmoid(torch.tensor([0.4, -1.0]))
    value = latent_discriminator_loss(torch.tensor([0.4]), torch.tensor([-1.0]), 3.0)
    error = max(abs(float(logit.grad)), abs(float(value) + 3.0 * float(d[0].log() + (1 - d[1]).log())))
    measured(error, "gradient at the density ratio, and difference from the printed formula")
    assert error < 1e-6


@pytest.mark.lecture("wae.gan.autoencoder")
def test_autoencoder_step_adds_minus_log_d(measured):
    cost, logit = torch.tensor([1.5, 0.2]), torch.tensor([0.7, -30.0])
    expected = cost - 4.0 * torch.sigmoid(logit.double()).log().float()
    error = float((latent_autoencoder_loss(cost, logit, 4.0) - expected).abs().max())
    measured(error, "absolute difference from c - lambda log D")
    assert error < 1e-5
    # log D is taken on the logit: far from the discriminator's mind the gradient is -lambda, never 0 or NaN.
    far = torch.tensor([-200.0], requires_grad=True)
    latent_autoencoder_loss(torch.zeros(1), far, 4.0).sum().backward()
    assert float(far.grad) == pytest.approx(-4.0)


@pytest.mark.lecture("vae.loss")
def test_vae_loss_on_numbers_worked_by_hand(measured):
    """KL[N(1, sd 2), N(0, 1)] = (1 + 4 - 1 - log 4) / 2; the reconstruction adds 0.5^2."""
    value = vae_loss(
        torch.tensor([[1.0]]), torch.tensor([[0.5]]), torch.tensor([[1.0]]), torch.tensor([[math.log(4.0)]])
    )
    error = abs(float(value) - (0.25 + (1 + 4 - 1 - math.log(4)) / 2))
    measured(error, "absolute difference from the closed form")
    assert error < 1e-6
    # Sums over the dimensions, not means: three equal ones have three times the loss.
    parts = [torch.tensor([[number] * 3]) for number in (1.0, 0.5, 1.0, math.log(4.0))]
    assert float(vae_loss(*parts)) == pytest.approx(3 * float(value), rel=1e-6)


@pytest.mark.lecture("dwae.loss")
@torch.no_grad()
def test_dwae_loss_is_the_sum_of_its_three_terms(measured):
    """The loss of a model is recon + cls + wass of its own codes, each worked out apart."""
    from tests.contract.test_receptor_models import dwae, receptors

    from zsteer.domains.sequences.panel import binding_loss
    from zsteer.maths.transport import mmd_shares
    from zsteer.models.dwae.settings import LossWeights

    x, rng = receptors(), Streams.of(2, 12)
    nothing = {"mates": 0.0, "forget_function": 0.0, "forget_structure": 0.0, "forget_peptide": 0.0, "noise": 0.0}
    weights = LossWeights(reconstruction=0.5, classification=2.0, wasserstein=3.0)
    model = dwae(**nothing, dropout=0.0, removal="none", weights=weights)
    z_f = model.function(x, None)
    raw = model.structure(x, None)
    z_s = (raw - raw.mean(0)) / (raw.var(0, unbiased=False) + 1e-5).sqrt()
    u = model.peptide(x["peptide"])
    recon = -model.decoder(x["tokens"], x.mask, torch.cat([u, z_f, z_s], 1)).sum(1)
    cls = binding_loss(model.psi(z_f), x["peptide"], x["label"], (model.swap, model.against))
    code = torch.cat([z_f, z_s], 1)
    wass = mmd_shares(rng.normal("prior", (code.shape[1],)), code)
    expected = 0.5 * recon + 2.0 * cls + 3.0 * wass
    terms = model.losses(x, "autoencoder", rng)
    assert list(terms) == ["reconstruction", "classification", "wasserstein"]
    error = float((sum(terms.values()) - expected).abs().max() / expected.abs().max())
    measured(error, "largest relative difference from the three terms apart")
    assert error < 1e-5
