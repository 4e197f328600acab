{{/* The driver's name: fixed, since volumes carry it. */}}
{{- define "clinker.driver" -}}csi.clinker.io{{- end }}

{{/* What every object's name begins with: the release's. */}}
{{- define "clinker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains "clinker" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-clinker" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "clinker.controller" -}}{{ include "clinker.fullname" . }}-controller{{- end }}
{{- define "clinker.node" -}}{{ include "clinker.fullname" . }}-node{{- end }}

{{/* What the controller makes itself when it is given no key: helm knows neither. */}}
{{- define "clinker.keysName" -}}{{ include "clinker.fullname" . }}-keys{{- end }}
{{- define "clinker.caName" -}}{{ .Values.tls.caConfigMap | default (printf "%s-ca" (include "clinker.fullname" .)) }}{{- end }}
{{- define "clinker.poolsName" -}}{{ include "clinker.fullname" . }}-pools{{- end }}

{{/* What the objects of one component are chosen by; never changes, since selectors cannot. */}}
{{- define "clinker.selector" -}}
app.kubernetes.io/name: clinker
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "clinker.labels" -}}
app.kubernetes.io/name: clinker
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The folder of kubelet without a slash at its end. */}}
{{- define "clinker.kubeletDir" -}}{{ .Values.kubeletDir | trimSuffix "/" }}{{- end }}

{{/* The first of the lists that is not empty, as YAML for "imagePullSecrets". */}}
{{- define "clinker.pullSecrets" -}}
{{- $secrets := .Values.imagePullSecrets | default .Values.global.imagePullSecrets -}}
{{- with $secrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
