"""The module that held operations in BlueFog 0.3, for scripts that import from it."""

from bluefog.torch.basics import *  # noqa: F403
from bluefog.torch.ops.collective import *  # noqa: F403
from bluefog.torch.ops.gossip import *  # noqa: F403
from bluefog.torch.ops.handles import *  # noqa: F403
from bluefog.torch.ops.neighbor import *  # noqa: F403
from bluefog.torch.ops.window_transfers import *  # noqa: F403
from bluefog.torch.ops.windows import *  # noqa: F403
from bluefog.torch.timeline import *  # noqa: F403
