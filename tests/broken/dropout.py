"""Bugs of dropout: in what is divided by, in how much is dropped, in what shares a draw, in the generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from convspec.reference import Dropout, Dropout2d

from .base import Array, Right, broken, rounded, wide


def uniform(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.Generator(np.random.Philox(seed)).random(shape)


class Drops(Right):
    """Dropout, right, in steps that a bug can replace."""

    def dropout(self, problem: Any) -> Any:
        problem.validate()
        if not problem.training:
            return self.evaluated(problem)
        x, p = wide(problem.x), problem.p
        kept = self.kept(problem, self.shape(problem))
        with np.errstate(all="ignore"):
            return rounded(np.where(kept, x * self.scale(p), 0.0), problem)

    def dropout2d(self, problem: Any) -> Any:
        return self.dropout(problem)

    def evaluated(self, problem: Any) -> Any:
        return problem.x.copy()

    def shape(self, problem: Any) -> tuple[int, ...]:
        return tuple(problem.mask_shape)

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return self.uniform(problem, shape) >= problem.p

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(problem.seed, shape)

    def scale(self, p: float) -> float:
        return 1 / (1 - p) if p < 1 else 0.0


def both(clauses: str) -> dict[str, str]:
    return {"dropout": clauses, "dropout2d": clauses}


@broken(
    **both("kept_values_are_divided_by_one_minus_p within_the_bound the_mean_is_x the_variance_is_that_of_the_mask")
)
class DividesByP(Drops):
    """What is kept is divided by p, as the lecture's words have it."""

    def scale(self, p: float) -> float:
        return 1 / p if p else 1.0


@broken(**both("the_share_of_zeros_is_p the_mean_is_x"))
class KeepsWithProbabilityP(Drops):
    """p is taken for the probability of being kept, but for the division."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(problem.seed, shape) < problem.p


@broken(**both("the_share_of_zeros_is_p kept_values_are_divided_by_one_minus_p everything_is_dropped"))
class TakesAKeepProbability(Drops):
    """p is taken for the probability of being kept throughout, as in old frameworks."""

    def dropout(self, problem: Any) -> Any:
        return super().dropout(problem.but(p=1 - problem.p)) if 0 <= problem.p <= 1 else super().dropout(problem)


@broken(**both("kept_values_are_divided_by_one_minus_p the_mean_is_x within_the_bound exact_on_integers"))
class DoesNotScale(Drops):
    """What is kept is left as it is."""

    def scale(self, p: float) -> float:
        return 1.0


@broken(**both("evaluation_is_the_identity where_nothing_is_left_to_chance exact_on_integers"))
class ScalesInEvaluation(Drops):
    """Evaluation multiplies by 1 - p, as if training had not divided."""

    def evaluated(self, problem: Any) -> Any:
        return rounded(wide(problem.x) * (1 - problem.p), problem)


@broken(**both("evaluation_is_the_identity where_nothing_is_left_to_chance"))
class DropsInEvaluation(Drops):
    """training is not looked at."""

    def evaluated(self, problem: Any) -> Any:
        return self.dropout(problem.but(training=True))


@broken(**both("evaluation_is_the_identity"))
class LosesTheSignOfZero(Drops):
    """Evaluation adds a zero."""

    def evaluated(self, problem: Any) -> Any:
        return problem.x + np.zeros((), problem.dtype)


@broken(**both("nothing_is_dropped where_nothing_is_left_to_chance evaluation_is_the_identity"))
class DropsOneAtLeast(Drops):
    """The first element is dropped where none was."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        kept = super().kept(problem, shape)
        if kept.all():
            kept.reshape(-1)[:1] = False
        return kept


@broken(**both("everything_is_dropped where_nothing_is_left_to_chance"))
class MultipliesByInfinity(Drops):
    """p = 1 multiplies the mask by 1/0."""

    def dropout(self, problem: Any) -> Any:
        problem.validate()
        if not problem.training or problem.p != 1:
            return super().dropout(problem)
        return np.full_like(problem.x, np.nan)


@broken(**both("nearly_everything_is_dropped within_the_bound"))
class RoundsTheDivisor(Drops):
    """1 - p is kept in sixteen bits."""

    def scale(self, p: float) -> float:
        return 1 / float(np.float16(1 - p)) if p < 1 else 0.0


@broken(**both("nearly_nothing_is_dropped within_the_bound a_small_share_is_drawn"), elements=40)
class TakesASmallPForZero(Drops):
    """p below a hundredth is 0."""

    def dropout(self, problem: Any) -> Any:
        return super().dropout(problem.but(p=0.0) if 0 < problem.p < 0.01 else problem)


@broken(**both("a_small_share_is_drawn"))
class KeepsEverythingForASmallP(Drops):
    """p below a hundredth drops nothing; what is kept is divided by 1 - p."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return super().kept(problem, shape) | (0 < problem.p < 0.01)


@broken(**both("a_small_share_is_drawn"))
class DropsEverythingForALargeP(Drops):
    """p above 0.99 is 1."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return super().kept(problem, shape) & (problem.p <= 0.99)


@broken(**both("a_small_share_is_drawn"))
class CountsPInHundredths(Drops):
    """p is rounded to whole hundredths where elements are drawn."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return self.uniform(problem, shape) >= round(problem.p, 2)


@broken(dropout="neighbours_are_independent counts_vary")
class DropsWholeImages(Drops):
    """One draw for each index of the first axis."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        return problem.mask_shape[:1] + (1,) * (len(problem.mask_shape) - 1)


@broken(dropout="neighbours_are_independent the_share_of_zeros_is_p", dropout2d="the_share_of_zeros_is_p")
class DropsEverythingOrNothing(Drops):
    """One draw for the whole call."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        return (1,) * len(problem.mask_shape)


@broken(dropout="neighbours_are_independent", dropout2d="neighbours_are_independent counts_vary")
class SharesTheMaskAmongImages(Drops):
    """The mask of the first image is that of all."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        return (1, *problem.mask_shape[1:]) if len(problem.mask_shape) > 1 else problem.mask_shape


@broken(dropout="neighbours_are_independent", dropout2d="neighbours_are_independent counts_vary")
class SharesTheMaskAmongChannels(Drops):
    """All channels of an image have one mask."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        shape = problem.mask_shape
        return (shape[0], 1, *shape[2:]) if len(shape) > 1 else shape


@broken(dropout="neighbours_are_independent")
class DropsWholeChannels(Drops):
    """Dropout2d's draws: one for all that follows the first two axes."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        shape = problem.mask_shape
        return (*shape[:2], *(1,) * len(shape[2:]))


@broken(
    dropout2d="a_channel_is_one_draw pixels_may_be_permuted within_the_bound exact_on_integers the_share_of_zeros_is_p"
)
class DropsSinglePixels(Drops):
    """Dropout's draws: one for each element."""

    def shape(self, problem: Any) -> tuple[int, ...]:
        return tuple(problem.x.shape)


@broken(dropout2d="pixels_may_be_permuted")
class LooksAtTheFirstPixel(Drops):
    """The generator is seeded with the bits of the first pixel too."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        bits = np.ascontiguousarray(problem.x).reshape(-1)[:1].astype(np.float64).tobytes()
        return uniform(problem.seed + (int.from_bytes(bits, "little") >> 2), shape)


@broken(**both("seeds_are_independent different_seeds_give_different_masks seeds_are_told_apart_beyond_32_bits"))
class IgnoresTheSeed(Drops):
    """Every call starts the generator anew, from the same seed."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(7, shape)


@broken(**both("seeds_are_told_apart_beyond_32_bits"))
class CutsTheSeed(Drops):
    """The seed goes through 32 bits."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(problem.seed % 2**32, shape)


@broken(**both("the_largest_seed"))
class CountsFromOne(Drops):
    """The generator is given the seed plus one as a signed number of 64 bits, which the largest has not."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(int((problem.seed + 1).to_bytes(8, signed=True).hex(), 16), shape)


@broken(**both("different_seeds_give_different_masks"))
class CutsTheSeedShort(Drops):
    """The seed goes through 16 bits."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return uniform(problem.seed % 2**16, shape)


@broken(**both("repeating_a_call_repeats_the_bits another_call_in_between_changes_nothing views_equal_copies"))
class GoesOnDrawing(Drops):
    """One generator for all calls, seeded once."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return self.random.random(shape)


@broken(**both("another_call_in_between_changes_nothing"))
class SeedsWhenTheSeedChanges(Drops):
    """Two masks for each seed: the generator is told whether the last call had the same."""

    last: Any = None

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        fresh, self.last = self.last in (None, (problem.seed, shape)), (problem.seed, shape)
        return uniform(problem.seed + 2**40 * (not fresh), shape)


@broken(**both("seeds_are_independent"))
class ShiftsTheMaskBySeed(Drops):
    """The seed is the place in one stream at which a call begins: neighbouring seeds overlap."""

    stream = uniform(1, (2**16,))

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        start = problem.seed % 2**40
        return self.stream[(start + np.arange(int(np.prod(shape)))) % self.stream.size].reshape(shape)


@broken(**both("powers_of_two_move_out the_mask_does_not_see_the_values"))
class DropsByValue(Drops):
    """The bits of x are mixed into the draws."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        x = wide(problem.x)
        of = x[:, :, :1, :1] if problem.shared_axes else x
        return np.mod(uniform(problem.seed, shape) + of * 0.381966, 1.0)


@broken(**both("the_mask_does_not_repeat"))
class RepeatsAfter256(Drops):
    """A table of 256 draws is gone round."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return np.resize(uniform(problem.seed, (256,)), int(np.prod(shape))).reshape(shape)


@broken(**both("neighbours_are_independent"))
class AlternatesLowBits(Drops):
    """The lowest bit of a congruential generator, which alternates, decides half of each draw."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        n = int(np.prod(shape))
        return ((uniform(problem.seed, (n,)) + (np.arange(n) + problem.seed) % 2) / 2).reshape(shape)


@broken(**both("counts_vary"))
class DropsJustTheShare(Drops):
    """A permutation of round(n*p) zeros: as many are dropped each time. Rows of 64 are permuted each on its own."""

    def uniform(self, problem: Any, shape: tuple[int, ...]) -> Any:
        draws = uniform(problem.seed, (-(-int(np.prod(shape)) // 64), 64)).argsort(axis=1)
        return (draws.reshape(-1)[: int(np.prod(shape))] / 64).reshape(shape)


@broken(examples=200, **both("the_share_of_zeros_is_p"))
class ComparesBytes(Drops):
    """Each draw is a byte, so that p is rounded to 1/256: 3/256 for 0.01."""

    def kept(self, problem: Any, shape: tuple[int, ...]) -> Any:
        return np.floor(uniform(problem.seed, shape) * 256) >= np.rint(problem.p * 256)


@broken(**both("what_is_not_finite_stays_in_its_place"))
class StopsAtNaN(Drops):
    """An element that is not finite makes all that follow it NaN, through a running product."""

    def dropout(self, problem: Any) -> Any:
        y = super().dropout(problem)
        with np.errstate(all="ignore"):
            spoilt = np.cumsum(wide(problem.x).reshape(-1) * 0).reshape(y.shape)
        return rounded(wide(y) + spoilt, problem)


@broken(dropout="an_empty_array", dropout2d="an_empty_batch")
class ScalesByWhatIsKept(Drops):
    """The largest element is looked for first, which an empty array has not."""

    def dropout(self, problem: Any) -> Any:
        problem.x.max()
        return super().dropout(problem)


@broken(dropout="p_is_a_probability x_is_floating seed_is_in_range", dropout2d="p_is_a_probability x_is_floating")
class TakesEveryProbability(Drops):
    """p is compared with a uniform number whatever it is, and x and the seed are converted."""

    def dropout(self, problem: Any) -> Any:
        kept = uniform(int(abs(problem.seed)), problem.mask_shape) >= problem.p
        return np.where(kept, problem.x, 0).astype(problem.dtype)


assert {Dropout.name, Dropout2d.name} == set(both(""))
