"""BlueFog: decentralized training by neighbour averaging over virtual graphs.

``import bluefog.torch as bf`` is the front end; ``bluefog.common.topology_util`` has the graphs and needs no
torch.
"""

from bluefog._core import __version__

__all__ = ["__version__"]
