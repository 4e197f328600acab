"""Makes a node of a lab's host: containerd and kubelet in it, its pods reachable."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.places import PAUSE_IMAGE, Places, pod_subnet
from tests.cluster.runtime import runtime
from tests.lab import Host, Lab
from tests.lab.process import GuestProcess
from tests.lab.waiting import eventually

RUNTIME, BINARIES, IMAGES = "/opt/kubernetes/runtime", "/opt/kubernetes/bin", "/opt/kubernetes/images"
"""Where a host sees folders of the machine; nothing is copied."""
PATH = f"{RUNTIME}/usr/bin:{RUNTIME}/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CNI_PLUGINS, CNI_CONFIGURATION = f"{RUNTIME}/usr/lib/cni", "/etc/cni/net.d"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
KUBELET_CONFIGURATION, KUBELET_SECRETS = "/etc/kubernetes/kubelet.json", "/etc/kubernetes/pki"
CONTAINERD_LIMIT = 60.0
"""Seconds until containerd must answer."""
IMPORT_LIMIT = 240.0
"""Seconds for one image; 100 MB take 6 to 14."""

CONTAINERD = f"""\
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{CNI_PLUGINS}']
conf_dir = '{CNI_CONFIGURATION}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


class Node:
    """A host that is, or becomes, a node of the cluster; `start` is also for a host that was booted again."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.host = host
        self.kubelet: GuestProcess | None = None
        self.containerd: GuestProcess | None = None
        self._lab, self._places = lab, Places(lab.folder)

    def start_containerd(self) -> None:
        """Prepare what does not outlive a boot, and return once containerd answers."""
        host = self.host
        host.mount_machine(runtime(), RUNTIME)
        host.mount_machine(binaries.program(PROGRAM).parent, BINARIES)
        for path, text in self._files().items():
            host.put(path, text, mode=0o600)
        host.run(["sh", "-ec", self._preparation()])
        host.run(["sh", "-ec", CPUINFO])
        self.containerd = host.spawn(
            ["containerd", "--config", "/etc/containerd/config.toml"], name="containerd", env={"PATH": PATH}
        )
        eventually(self._containerd_answers, within=CONTAINERD_LIMIT)

    def start_kubelet(self) -> None:
        """Start it; the API server need not answer yet."""
        self.kubelet = self.host.spawn(
            [
                f"{BINARIES}/{binaries.program(PROGRAM).name}",
                *("--config", KUBELET_CONFIGURATION, "--kubeconfig", f"{KUBELET_SECRETS}/kubeconfig"),
                *("--hostname-override", self.host.name, "--node-ip", self.host.address),
            ],
            name="kubelet",
            env={"PATH": PATH},
        )

    def import_image(self, archive: Path) -> None:
        """Import an OCI archive of the machine under the names that are in it."""
        seen = f"{IMAGES}/{uuid.uuid4().hex}"
        self.host.mount_machine(archive.parent, seen)
        try:
            # A host's disk is memory of the machine: what has been unpacked is not kept packed as well.
            keep_less = ("--local", "--discard-unpacked-layers")
            self.ctr("images", "import", *keep_less, f"{seen}/{archive.name}", timeout=IMPORT_LIMIT)
        finally:
            self.host.run(["sh", "-c", 'umount "$1" && rmdir "$1"', "sh", seen])

    def ctr(self, *arguments: str, timeout: float = 60.0) -> str:
        """What containerd's own client prints, in the namespace that kubelet uses."""
        command = ["ctr", "--namespace", "k8s.io", *arguments]
        return self.host.run(command, env={"PATH": PATH}, timeout=timeout).stdout

    def _containerd_answers(self) -> bool:
        return self.host.run(["ctr", "version"], env={"PATH": PATH}, check=False, timeout=10).rc == 0

    def _files(self) -> dict[str, bytes | str]:
        name, places = self.host.name, self._places
        return {
            "/etc/containerd/config.toml": CONTAINERD,
            f"{CNI_CONFIGURATION}/10-lab.conflist": json.dumps(network(self.host.number)),
            KUBELET_CONFIGURATION: json.dumps(KUBELET),
            f"{KUBELET_SECRETS}/kubeconfig": places.kubeconfig(name).read_text(),
            f"{KUBELET_SECRETS}/ca.crt": places.certificate("ca").read_bytes(),
            f"{KUBELET_SECRETS}/node.crt": places.certificate(name).read_bytes(),
            f"{KUBELET_SECRETS}/node.key": places.key(name).read_bytes(),
        }

    def _preparation(self) -> str:
        peers = [peer for peer in self._lab.hosts if peer is not self.host]
        routes = [f"ip route replace {pod_subnet(peer.number)} via {peer.address}" for peer in peers]
        return "\n".join([PREPARATION, *routes])


PROGRAM = next(program for program in binaries.KUBERNETES if program.name == "kubelet")

PREPARATION = """\
modprobe -a veth bridge overlay
echo 1 >/proc/sys/net/ipv4/ip_forward
echo '+cpu +io +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /var/lib/kubelet /var/log/pods
"""

CPUINFO = """\
grep -q '^cpu MHz' /proc/cpuinfo && exit 0
sed '/^$/d' /proc/cpuinfo >/run/cpuinfo
printf 'cpu MHz\\t\\t: 2000.000\\nphysical id\\t: 0\\ncore id\\t\\t: 0\\n\\n' >>/run/cpuinfo
mount --bind /run/cpuinfo /proc/cpuinfo
"""
"""kubelet refuses a processor without a clock speed, and User-Mode Linux has none to tell."""

KUBELET = {
    "kind": "KubeletConfiguration",
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": f"{KUBELET_SECRETS}/ca.crt"},
    },
    "authorization": {"mode": "Webhook"},
    "tlsCertFile": f"{KUBELET_SECRETS}/node.crt",
    "tlsPrivateKeyFile": f"{KUBELET_SECRETS}/node.key",
    "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
    "cgroupDriver": "cgroupfs",
    "failSwapOn": False,
    "syncFrequency": "10s",  # how soon it sees that a claim has grown; a minute by default
    "resolvConf": "",
    # There is no registry to get an image back from, so none is ever removed, and no pod evicted for its sake.
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
}


def network(number: int) -> dict[str, object]:
    """The CNI configuration of host number `number`: a bridge, routed and not translated."""
    subnet = pod_subnet(number)
    addresses = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge]}
