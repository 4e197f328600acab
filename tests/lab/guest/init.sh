# The second half of a test host's boot; the first is /sbin/labinit in the image, which mounts
# /host (a folder of the machine). Runs as process 1 and stays it: dash reaps what is orphaned.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
. /host/boot/host.env
mount -t hostfs -o sync,hostfs="$lab_logs" none /host/logs

mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mount --make-rshared /
mkdir -p /run/lock/lvm /run/lock/iscsi /run/lab /etc/target /var/target/pr /etc/rtslib-fb-target

cp /host/boot/etc/hosts /host/boot/etc/hostname /host/boot/etc/machine-id /etc/
cp /host/boot/etc/initiatorname.iscsi /etc/iscsi/
hostname "$HOST_NAME"
ip link set lo up
ip address add "$HOST_ADDRESS/24" dev vec0
ip link set vec0 up
ip route add default via "$GATEWAY"

modprobe -a configfs $MODULES 2>&1
mount -t configfs configfs /sys/kernel/config 2>/dev/null
/usr/lib/systemd/systemd-udevd --daemon
# Of what is there at boot, only disks need udev's names; the hundreds of terminals would take 3 s.
udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=misc --subsystem-match=net
udevadm settle --timeout=20
iscsid

while :; do
    PYTHONPATH=/host/boot python3 -m tests.lab.guest.agent
    sleep 0.2
done
