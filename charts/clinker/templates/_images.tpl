{{/*
The reference of an image. Called with a dict of "image" (repository, tag, digest), "root", and "tag", which stands
where the image names neither tag nor digest. A digest wins over a tag. global.imageRegistry takes the place of the
registry, which is the first part of the repository when it has a dot, a colon, or is "localhost".
*/}}
{{- define "clinker.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
  {{- $parts := splitList "/" $repository -}}
  {{- $first := first $parts -}}
  {{- if and (gt (len $parts) 1) (or (contains "." $first) (contains ":" $first) (eq "localhost" $first)) -}}
    {{- $parts = rest $parts -}}
  {{- end -}}
  {{- $repository = printf "%s/%s" (trimSuffix "/" .) (join "/" $parts) -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end }}

{{- define "clinker.driverImage" -}}
{{- include "clinker.image" (dict "image" .Values.image "root" . "tag" .Chart.AppVersion) -}}
{{- end }}
