"""The first operation of each FFCV pipeline: decoders that fastscale/data/decoding.py has compiled already."""

from collections.abc import Callable

from fastscale.data import decoding
from fastscale.data.ffcv import AllocationQuery, IntDecoder, ResizedCropRGBImageDecoder, State

UNUSED = (1, 1)  # the resolution of a decoder that has not been told one


class ImageDecoder(ResizedCropRGBImageDecoder):
    """FFCV's decoder, of the crops that stand in the metadata of each image: `CROP` of `fastscale.data.crops`."""

    get_crop_generator = None

    def __init__(self, threads: int):
        super().__init__(UNUSED)
        self.decode = decoding.decode_images_by_threads if threads > 1 else decoding.decode_images

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        """Memory for the results of a batch. FFCV's decoders take some for all images whole as well."""
        state, (results, _) = super().declare_state_and_memory(previous_state)
        return state, results

    def generate_code(self) -> Callable:
        """The compiled function."""
        return self.decode


class LabelDecoder(IntDecoder):
    """FFCV's decoder of labels, compiled before."""

    def generate_code(self) -> Callable:
        """The compiled function."""
        return decoding.decode_labels
