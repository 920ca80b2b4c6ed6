"""PCA lighting (Krizhevsky et al. 2012, section 4.1): a random colour added to all pixels of an image."""

import numpy as np

from fastscale.data.streams import stream

# Principal components of the colours of ImageNet's pixels, in units of 0 to 1, as in fb.resnet.torch, from which the
# authors' pycls has them too. Each column of EIGENVECTORS is one vector of red, green and blue.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def draw_lighting(deviation: float, images: int, seed: int, epoch: int) -> np.ndarray:
    """Draw the colours to add to the red, green and blue of each image: (images, 3), in units of 0 to 1.

    A colour is the sum of the eigenvectors, each times its eigenvalue and a normal random number of mean 0 and standard
    `deviation`. Row i depends on seed, epoch and i alone; it belongs to the i-th place in the epoch's order.
    """
    normal = stream("lighting", seed, epoch).normal(0, deviation, (images, 3))
    return normal * EIGENVALUES @ EIGENVECTORS.T
