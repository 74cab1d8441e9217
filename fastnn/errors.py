"""What fastnn raises and warns beyond the built-in exceptions."""


class BackendUnavailableError(RuntimeError):
    """The backend that was asked for cannot run here; the message says how to mend that."""


class BackendFallbackWarning(UserWarning):
    """The backend that was asked for cannot run here, and another one took its place."""


class CaptureWarning(UserWarning):
    """Training steps could not be captured in a CUDA graph: they are launched call by call."""


class KernelCacheWarning(UserWarning):
    """Compiled kernels, or what was measured of a GPU, could not be kept on disk, or not be read.

    Results are the same: kernels are compiled anew, and a figure is computed.
    """


class ParameterCopyWarning(UserWarning):
    """A layer computes with a copy of an array that was handed over as a parameter of it."""


class LastBatchWarning(UserWarning):
    """A pickle holds arrays that a layer of your own keeps, which may be of the last batch."""


class CorruptFileError(ValueError):
    """A saved network was cut short, changed after it was written, or is another kind of file."""


class TrainingWarning(UserWarning):
    """Training will make little progress, stands still or diverged; it says why and what helps."""
