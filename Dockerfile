# syntax=docker/dockerfile:1
# The image of the driver: controller and node. `make image` builds it with buildah; any builder can.
# Nothing in it names an architecture: what pip and apt install is that of the platform it is built for.

ARG BASE=docker.io/library/debian:trixie-slim

# --- the wheel, and what it needs, in a virtual environment that has no pip ------------------------------------

FROM ${BASE} AS build

# A file of certificate authorities, mounted into the build, where pip's registry is not signed by a public one.
ARG PIP_CERT=

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates python3 python3-hatchling python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv --without-pip /opt/clinker
COPY requirements.lock /build/
RUN python3 -m pip --python /opt/clinker/bin/python install --no-cache-dir --no-compile \
        --require-hashes --no-deps --only-binary :all: --requirement /build/requirements.lock

# Compiled here, since the root file system is read-only where it runs; not checked by time, which copies lose.
# Of Kubernetes' generated client (120 of 200 MiB) only the compiled half stays, without its documentation.
RUN cd /opt/clinker/lib/python3*/site-packages \
    && for generated in kubernetes/client kubernetes/aio/client; do \
        /opt/clinker/bin/python -m compileall -q -b -o 2 -j 0 --invalidation-mode unchecked-hash "$generated" \
        && find "$generated" -name '*.py' -delete; \
    done \
    && /opt/clinker/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

COPY pyproject.toml README.md LICENSE /build/
COPY csi_driver /build/csi_driver
RUN cd /build \
    && python3 -m pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist . \
    && python3 -m pip --python /opt/clinker/bin/python install --no-cache-dir --no-compile --no-index --no-deps \
        /build/dist/*.whl \
    && /opt/clinker/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        /opt/clinker/lib/python3*/site-packages/csi_driver

# --- what runs -------------------------------------------------------------------------------------------------

FROM ${BASE}

# lvm2 brings dmsetup. tini is process 1: it reaps what lvm and mkfs leave behind, and passes signals on.
# ICU (38 MiB) serves xfs_scrub alone, which nothing here calls.
# No open-iscsi and no multipath-tools: those are the host's own (docs/install.md).
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        dmsetup e2fsprogs kmod lvm2 mount python3 thin-provisioning-tools tini util-linux xfsprogs \
    && dpkg --purge --force-depends $(dpkg-query --show --showformat='${Package}\n' 'libicu*') \
    && rm /usr/sbin/xfs_scrub* \
    && mkfs.xfs -V && xfs_growfs -V && xfs_repair -V && lvm version && tini --version \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*.log /var/log/apt

COPY --from=build /opt/clinker /opt/clinker
COPY LICENSE /usr/share/doc/clinker/LICENSE
# The user has a name because kubelet takes the user from the image and its group from /etc/passwd, or else 0.
RUN ln -s /opt/clinker/bin/clinker /usr/local/bin/clinker \
    && groupadd --gid 65532 clinker \
    && useradd --uid 65532 --gid clinker --no-create-home --home-dir / --shell /usr/sbin/nologin clinker

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Clinker" \
      org.opencontainers.image.description="Kubernetes CSI driver: volumes cut from LVM on the cluster's own nodes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LC_ALL=C.UTF-8
# The controller needs no privilege at all; the chart gives the node's container its own user.
USER 65532:65532
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/usr/local/bin/clinker"]
