{{/* The settings files of the two processes (docs/settings.md). JSON's strings and lists are TOML's as well. */}}

{{- define "clinker.commonSettings" -}}
cluster = {{ .Values.clusterName | toJson }}
log_level = {{ .Values.log.level | toJson }}
log_format = {{ .Values.log.format | toJson }}
{{- end }}

{{- define "clinker.controllerSettings" -}}
endpoint = "unix:///run/clinker/csi.sock"
{{ include "clinker.commonSettings" . }}
metrics = {{ printf "auto:%d" (int .Values.controller.ports.metrics) | toJson }}
health = {{ printf "auto:%d" (int .Values.controller.ports.health) | toJson }}

[controller.tls]
{{- $folder := .Values.tls.existingSecret | empty | ternary "/run/clinker/tls" "/etc/clinker/tls" }}
ca = "{{ $folder }}/ca.crt"
certificate = "{{ $folder }}/controller.crt"
key = "{{ $folder }}/controller.key"

[controller.kubernetes]
namespace = {{ .Release.Namespace | toJson }}
selector = {{ printf "app.kubernetes.io/name=clinker,app.kubernetes.io/instance=%s,app.kubernetes.io/component=node" .Release.Name | toJson }}
service_account = {{ include "clinker.node" . | toJson }}
port = {{ int .Values.node.ports.agent }}
audience = {{ include "clinker.driver" . | toJson }}
pools = {{ include "clinker.poolsName" . | toJson }}
{{- if not .Values.tls.existingSecret }}
secret = {{ include "clinker.keysName" . | toJson }}
ca_map = {{ include "clinker.caName" . | toJson }}
{{- end }}
lease = {{ include "clinker.controller" . | toJson }}
{{- end }}

{{- define "clinker.nodeSettings" -}}
endpoint = "unix:///csi/csi.sock"
{{ include "clinker.commonSettings" . }}
metrics = {{ printf "auto:%d" (int .Values.node.ports.metrics) | toJson }}
health = {{ printf "auto:%d" (int .Values.node.ports.health) | toJson }}

[kubelet]
registration_socket = {{ printf "/registration/%s-reg.sock" (include "clinker.driver" .) | toJson }}
endpoint = {{ printf "%s/plugins/%s/csi.sock" (include "clinker.kubeletDir" .) (include "clinker.driver" .) | toJson }}

[consumer]
iscsiadm = "host"
max_volumes = {{ int .Values.node.maxVolumes }}

[agent]
listen = {{ printf "auto:%d" (int .Values.node.ports.agent) | toJson }}
portals = [{{ printf "auto:%d" (int .Values.node.ports.portal) | toJson }}]
lvm_devices = {{ .Values.node.lvmDevices | toJson }}

[agent.identity]
ca = "/etc/clinker/ca/ca.crt"
token = "/var/run/secrets/clinker/token"
{{- end }}

{{/* The entries of "pools" in the words of the settings: thinPool is thin_pool, and so on. */}}
{{- define "clinker.pools" -}}
{{- $found := list -}}
{{- range .Values.pools -}}
  {{- $entry := dict -}}
  {{- range $key, $value := . -}}
    {{- $entry = set $entry (snakecase $key) $value -}}
  {{- end -}}
  {{- if not (or .nodes .nodeSelector) -}}
    {{- $entry = set $entry "nodes" (list "*") -}}
  {{- end -}}
  {{- $found = append $found $entry -}}
{{- end -}}
{{ $found | toPrettyJson }}
{{- end }}
