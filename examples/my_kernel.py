"""The smallest useful backend: a direct convolution, one image and one group at a time.

pytest conformance/ --backend=examples/my_kernel.py --op conv2d
"""

import numpy as np


class MyKernel:
    dtypes = ("float32", "float64")

    def supports(self, problem):
        """The domain it was built for; problems outside are counted as unsupported."""
        return problem.groups == 1 and problem.padding_mode == "zeros"

    def conv2d(self, problem):
        problem.validate()  # refuse what breaks a rule; a kernel in another language does this itself
        x = np.pad(problem.x, ((0, 0), (0, 0), *problem.padding))
        _, channels, taps_down, taps_across = problem.weight.shape
        y = np.zeros(problem.shape(), problem.dtype)
        for i, j in np.ndindex(y.shape[2:]):
            top, left = i * problem.stride[0], j * problem.stride[1]
            rows = top + np.arange(taps_down) * problem.dilation[0]
            columns = left + np.arange(taps_across) * problem.dilation[1]
            window = x[:, :, rows[:, None], columns].reshape(len(x), channels * taps_down * taps_across)
            y[:, :, i, j] = window @ problem.weight.reshape(len(problem.weight), -1).T
        return y if problem.bias is None else y + problem.bias[:, None, None]
