{{/*
One CSI sidecar. Called with a dict of "root", "name" and "args".
They may sit in other pods than the leader of another kind: every replica of the controller answers every call.
*/}}
{{- define "clinker.sidecar" -}}
{{- $values := index .root.Values.sidecars .name -}}
- name: {{ .name }}
  image: {{ include "clinker.image" (dict "image" $values.image "root" .root "tag" "") }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    - --csi-address=/run/clinker/csi.sock
    - --leader-election
    - --leader-election-namespace=$(NAMESPACE)
    - --http-endpoint=:{{ $values.port }}
    - --kube-api-qps=20
    - --kube-api-burst=100
    - --v={{ $values.verbosity }}
    {{- range .args }}
    - {{ . }}
    {{- end }}
    {{- range $values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - name: NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
  ports:
    - {name: {{ .name }}, containerPort: {{ $values.port }}}
  # A leader that cannot renew its lease and does not end by itself is ended.
  livenessProbe:
    httpGet: {path: /healthz/leader-election, port: {{ .name }}}
    initialDelaySeconds: 10
    periodSeconds: 20
    timeoutSeconds: 10
    failureThreshold: 3
  {{- with $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "clinker.unprivileged" . | nindent 4 }}
  volumeMounts:
    - {name: run, mountPath: /run/clinker}
{{- end }}

{{- define "clinker.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
