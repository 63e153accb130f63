"""A convolution with one bug, to see what a failure looks like: the two strides are swapped.

pytest conformance/ --backend=examples/swapped_strides.py --op conv2d
"""

import numpy as np

from convspec.reference import Conv2d


class SwappedStrides:
    def supports(self, problem):
        return problem.name == "conv2d" and problem.padding_mode == "zeros"

    def conv2d(self, problem):
        problem.validate()
        return Conv2d(**vars(problem.but(stride=problem.stride[::-1]))).expected().astype(np.float32)
