{{/* "yes" where VolumeSnapshots are wanted and served; else nothing. Their CRDs and controller belong to the cluster. */}}
{{- define "clinker.snapshots" -}}
{{- $served := .Capabilities.APIVersions.Has "snapshot.storage.k8s.io/v1" -}}
{{- $wanted := toString .Values.snapshots.enabled -}}
{{- if and (eq $wanted "true") (not $served) -}}
{{- fail `

snapshots.enabled is true, and the cluster does not serve snapshot.storage.k8s.io/v1. VolumeSnapshots need their CRDs and the
snapshot controller, which a cluster has once, whatever drivers it has, so this chart never installs them. See whether they are there with

    kubectl get crd volumesnapshots.snapshot.storage.k8s.io

and install them from the project kubernetes-csi/external-snapshotter (client/config/crd and deploy/kubernetes/snapshot-controller), or
leave snapshots.enabled at auto. See docs/snapshots.md.
` -}}
{{- end -}}
{{- if and $served (ne $wanted "false") -}}yes{{- end -}}
{{- end }}

{{/* The names of the sidecars that run, as a JSON list. */}}
{{- define "clinker.sidecars" -}}
{{- $names := keys .Values.sidecars | sortAlpha -}}
{{- if not (include "clinker.snapshots" .) }}{{ $names = without $names "snapshotter" }}{{ end -}}
{{- toJson $names -}}
{{- end }}

{{/* A snapshot class has no parameters of ours (csi_driver/model/parameters.py, SNAPSHOT_TABLE). */}}
{{- define "clinker.refuseSnapshotParameters" -}}
{{- $class := .name -}}
{{- range $key, $value := .parameters -}}
  {{- if not (hasPrefix "csi.storage.k8s.io/" $key) -}}
  {{- fail (printf "\n\nVolumeSnapshotClass %q: unknown parameter %q; a snapshot has nothing to choose.\n" $class $key) -}}
  {{- end -}}
{{- end -}}
{{- end }}
