{{- define "marmot-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "marmot-operator.fullname" -}}
{{- $name := include "marmot-operator.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "marmot-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "marmot-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "marmot-operator.labels" -}}
{{ include "marmot-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "marmot-operator.serviceAccountName" -}}
{{- .Values.operator.serviceAccount.name | default (include "marmot-operator.fullname" .) }}
{{- end }}

{{- define "marmot-operator.image" -}}
{{- with .Values.operator.image -}}
{{ .repository }}{{ if .digest }}{{ with .tag }}:{{ . }}{{ end }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "marmot-operator.marmotUrl" -}}
{{- .Values.operator.marmot.url | default (printf "http://marmot.%s.svc:8080" .Release.Namespace) }}
{{- end }}

{{- /* Port of an address such as ":8090"; nothing for "0", which is off. */}}
{{- define "marmot-operator.metricsPort" -}}
{{- if ne (toString .Values.operator.metricsBindAddress) "0" }}{{ regexFind "[0-9]+$" .Values.operator.metricsBindAddress }}{{ end }}
{{- end }}
{{- define "marmot-operator.healthPort" -}}
{{- if ne (toString .Values.operator.healthProbeBindAddress) "0" }}{{ regexFind "[0-9]+$" .Values.operator.healthProbeBindAddress }}{{ end }}
{{- end }}

{{- /* The operator reads this file; quantities may be numbers in values, but not there. */}}
{{- define "marmot-operator.jobDefaults" -}}
{{- $operator := .Values.operator }}
{{- $ingest := $operator.ingest }}
{{- $file := dict }}
{{- $resources := dict }}
{{- range $kind, $amounts := $operator.jobDefaults.resources }}
{{- $texts := dict }}
{{- range $name, $amount := $amounts }}{{ $_ := set $texts $name (toString $amount) }}{{ end }}
{{- if $texts }}{{ $_ := set $resources $kind $texts }}{{ end }}
{{- end }}
{{- if $resources }}{{ $_ := set $file "resources" $resources }}{{ end }}
{{- range $field := list "backoffLimit" "activeDeadlineSeconds" }}
{{- $number := index $operator.jobDefaults $field }}
{{- if not (kindIs "invalid" $number) }}{{ $_ := set $file $field (int64 $number) }}{{ end }}
{{- end }}
{{- $env := list }}
{{- with $operator.apiKey }}{{ if .existingSecret }}
{{- $ref := dict "name" .existingSecret "key" .key }}
{{- if .optional }}{{ $_ := set $ref "optional" true }}{{ end }}
{{- $env = append $env (dict "name" "MARMOT_API_KEY" "valueFrom" (dict "secretKeyRef" $ref)) }}
{{- end }}{{ end }}
{{- $plugins := $operator.plugins }}
{{- if kindIs "bool" $plugins.autoinstall }}
{{- $env = append $env (dict "name" "MARMOT_PLUGINS_AUTOINSTALL" "value" (toString $plugins.autoinstall)) }}
{{- end }}
{{- with $plugins.registry }}{{ $env = append $env (dict "name" "MARMOT_PLUGINS_REGISTRY" "value" .) }}{{ end }}
{{- with $plugins.dir }}{{ $env = append $env (dict "name" "MARMOT_PLUGINS_DIR" "value" .) }}{{ end }}
{{- $volumes := list }}
{{- $mounts := list }}
{{- if $plugins.cache.volume }}
{{- $env = append $env (dict "name" "MARMOT_PLUGIN_CACHE_DIR" "value" $plugins.cache.path) }}
{{- $volumes = append $volumes (merge (dict "name" "plugin-cache") (deepCopy $plugins.cache.volume)) }}
{{- $mounts = append $mounts (dict "name" "plugin-cache" "mountPath" $plugins.cache.path) }}
{{- end }}
{{- $given := dict "env" (concat $env $ingest.env) "volumes" (concat $volumes $ingest.volumes)
      "volumeMounts" (concat $mounts $ingest.volumeMounts) }}
{{- range $field, $value := merge $given (omit $ingest "image" "serviceAccount") }}
{{- if $value }}{{ $_ := set $file $field $value }}{{ end }}
{{- end }}
{{- /* Said even if it is nothing: unsaid, the operator would set the user of Marmot's image. */}}
{{- $security := deepCopy ($ingest.podSecurityContext | default dict) }}
{{- if and $plugins.cache.volume $security.runAsGroup (not (hasKey $security "fsGroup")) }}
{{- $security = merge $security (dict "fsGroup" $security.runAsGroup "fsGroupChangePolicy" "OnRootMismatch") }}
{{- end }}
{{- $_ := set $file "podSecurityContext" $security }}
{{- toYaml $file }}
{{- end }}

{{- /* What the operator may do in the namespaces it watches; src/watch.rs, src/execute.rs and src/events.rs use each verb. */}}
{{- define "marmot-operator.rules" -}}
- apiGroups: [runs.marmotdata.io]
  resources: [runs]
  verbs: [get, list, watch, patch]
- apiGroups: [runs.marmotdata.io]
  resources: [runs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# To take Runs over from the operator that makes CronJobs.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# Asked how they ended; their logs and Secrets are never read.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
