"""Exports by the kernel's own target (LIO), composed from the few operations of the Configfs door.

targets      everything that callers need, in one place
spec         what an export should be, and what stands
paths        where the parts lie in configfs
ensure       make it so
backstores   the device behind a LUN
removal      the fence, and taking down
inspect      look
"""
