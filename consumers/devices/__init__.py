"""A device in a process of its own: the worker talks to the broker, its child computes, and can be killed.

No pool; those that compute for long share it. The child serves an object that the pool names:

    device = Device("consumers.inference.engine:Engine", settings)
    child = await device.child()
    done = await child.call("forward", key, batch, lane="compute", limit_s=60)
    async for token in child.stream("generate", request, lane="compute", silence_s=60): ...

Methods run in lanes: one thread each, in the order of their calls. What a call needs and gives is pickled, arrays
beside the pickle. The worker imports none of the heavy libraries for it.
"""

from consumers.devices.child import Child, DeviceLost
from consumers.devices.device import Device

__all__ = ["Child", "Device", "DeviceLost"]
