{{/* What cannot work is refused here in words, before anything is sent to the cluster. */}}
{{- define "clinker.refusals" -}}
{{- include "clinker.refuseNoImage" . -}}
{{- include "clinker.refuseNoPool" . -}}
{{- include "clinker.refuseNoKeys" . -}}
{{- include "clinker.refusePorts" . -}}
{{- include "clinker.refuseTwoDefaults" . -}}
{{- range .Values.storageClasses -}}
  {{- include "clinker.refuseParameters" (dict "root" $ "class" .) -}}
  {{- include "clinker.refuseChangedClass" . -}}
{{- end -}}
{{- range .Values.snapshotClasses -}}
  {{- include "clinker.refuseSnapshotParameters" . -}}
{{- end -}}
{{- end }}

{{- define "clinker.refuseNoImage" -}}
{{- if not .Values.image.repository -}}
{{- fail (printf `

image.repository is not set. Clinker's image lies in no public registry: build it and push it to one of yours,

    make image                                # in a checkout; writes build/image/clinker.tar
    skopeo copy oci-archive:build/image/clinker.tar docker://REGISTRY/clinker:%s

then install with

    --set image.repository=REGISTRY/clinker

Without a registry, load it on every node (ctr --namespace k8s.io images import clinker.tar) and set
image.repository=localhost/clinker and image.pullPolicy=Never. See docs/install.md.
` .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "clinker.refuseNoPool" -}}
{{- if not .Values.pools -}}
{{- fail `

pools is empty: Clinker takes no disk by itself, so it has to be told which volume groups it may use, as in

    pools:
      - name: fast                  # what a class may ask for
        vg: vg0                     # a volume group that exists
        thinPool: thin0             # a thin pool in it
        nodes: ["*"]                # on every node that has it (the default), or on those named

See docs/install.md.
` -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.pools -}}
  {{- $name := .name -}}
  {{- /* Only the controller knows which nodes have which labels: what clashes there is refused by it. */ -}}
  {{- range .nodeSelector | empty | ternary (.nodes | default (list "*")) list -}}
    {{- $key := printf "%s on %s" $name . -}}
    {{- if has $key $names -}}
    {{- fail (printf "\n\npools: two entries are called %q on node %q. Give each its own name, or nodes of its own.\n" $name .) -}}
    {{- end -}}
    {{- $names = append $names $key -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "clinker.refuseNoKeys" -}}
{{- if and .Values.tls.existingSecret (not .Values.tls.caBundle) (not .Values.tls.caConfigMap) -}}
{{- fail `

tls.existingSecret is set, and neither tls.caBundle nor tls.caConfigMap is. Nodes need the CA's certificate, and never the
Secret that the controller's key lies in:

    --set-file tls.caBundle=pki/ca.crt
` -}}
{{- end -}}
{{- if and .Values.tls.caBundle (not .Values.tls.existingSecret) -}}
{{- fail `

tls.caBundle is set, and tls.existingSecret is not: the controller would make its own key, which that CA does not vouch for.
Set both, or neither.
` -}}
{{- end -}}
{{- if and .Values.tls.caBundle .Values.tls.caConfigMap -}}
{{- fail "\n\ntls.caBundle and tls.caConfigMap are both set: nodes would not know which CA to trust. Unset one.\n" -}}
{{- end -}}
{{- if contains "PRIVATE KEY" .Values.tls.caBundle -}}
{{- fail "\n\ntls.caBundle has a private key in it. It goes to every node: give the certificate alone (ca.crt).\n" -}}
{{- end -}}
{{- end }}

{{/* Kubernetes cannot change these fields of a class that exists (StorageClass validation). */}}
{{- define "clinker.refuseChangedClass" -}}
{{- $there := lookup "storage.k8s.io/v1" "StorageClass" "" .name -}}
{{- if $there -}}
  {{- $wanted := dict
        "provisioner" (include "clinker.driver" .)
        "parameters" (.parameters | default dict)
        "reclaimPolicy" (.reclaimPolicy | default "Delete")
        "volumeBindingMode" (.volumeBindingMode | default "WaitForFirstConsumer") -}}
  {{- range $field, $value := $wanted -}}
    {{- $now := get $there $field | default (kindIs "map" $value | ternary dict "") -}}
    {{- if ne (toJson $now) (toJson $value) -}}
    {{- fail (printf `

StorageClass %q: %s is %s in the cluster, and the values say %s. Kubernetes cannot change that field of a class.
Either give the changed class another name, or delete the class first (volumes made by it stay as they are):

    kubectl delete storageclass %s
` $there.metadata.name $field (toJson $now) (toJson $value) $there.metadata.name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "clinker.refusePorts" -}}
{{- $controller := deepCopy .Values.controller.ports -}}
{{- range $name, $sidecar := .Values.sidecars -}}{{ $_ := set $controller $name $sidecar.port }}{{ end -}}
{{- range $process, $ports := dict "controller" $controller "node" .Values.node.ports -}}
  {{- $taken := list -}}
  {{- range $name, $port := $ports -}}
    {{- if has (int $port) $taken -}}
    {{- fail (printf "\n\n%s.ports: two of them are %d. Each needs its own.\n" $process (int $port)) -}}
    {{- end -}}
    {{- $taken = append $taken (int $port) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "clinker.refuseTwoDefaults" -}}
{{- $defaults := list -}}
{{- range .Values.storageClasses -}}
  {{- if .default }}{{ $defaults = append $defaults .name }}{{ end -}}
{{- end -}}
{{- if gt (len $defaults) 1 -}}
{{- fail (printf "\n\nstorageClasses: %s both say default: true. Claims that name no class can get one class only.\n" (join " and " $defaults)) -}}
{{- end -}}
{{- end }}

{{/* By what the driver's own table says; `make generate` writes that file. */}}
{{- define "clinker.refuseParameters" -}}
{{- $known := .root.Files.Get "files/parameters.json" | fromJson -}}
{{- $class := .class.name -}}
{{- $table := dict -}}
{{- range $known.parameters -}}{{ $_ := set $table .key . }}{{ end -}}
{{- range $key, $value := .class.parameters -}}
  {{- $parameter := get $table $key -}}
  {{- if not $parameter -}}
    {{- $begun := false -}}
    {{- range $known.beginnings -}}{{- if hasPrefix . $key -}}{{ $begun = true }}{{- end -}}{{- end -}}
    {{- if not $begun -}}
    {{- fail (printf "\n\nStorageClass %q: unknown parameter %q; known are %s.\n" $class $key (keys $table | sortAlpha | join ", ")) -}}
    {{- end -}}
  {{- else if and $parameter.allowed (not (has $value $parameter.allowed)) -}}
    {{- fail (printf "\n\nStorageClass %q: parameter %q is %q; it may be %s.\n" $class $key $value (join ", " $parameter.allowed)) -}}
  {{- else if and $parameter.pattern (not (regexMatch (printf "^(%s)$" $parameter.pattern) $value)) -}}
    {{- fail (printf "\n\nStorageClass %q: parameter %q is %q; it must match %s.\n" $class $key $value $parameter.pattern) -}}
  {{- end -}}
{{- end -}}
{{- end }}
