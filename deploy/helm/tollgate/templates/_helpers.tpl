{{/* Name of the release's objects; the component is added to it. */}}
{{- define "tollgate.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of a component. Argument: (dict "root" $ "component" "origin"). */}}
{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Reference of an image. Argument: (dict "root" $ "image" .Values.origin.image). */}}
{{- define "tollgate.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* No pod needs a privilege, and none can write outside of its volumes. */}}
{{- define "tollgate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tollgate.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Further settings as environment variables, in the order of their names. */}}
{{- define "tollgate.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "tollgate.check" -}}
{{- with .Values.origin -}}
{{- if and .persistence.enabled (or (ne (int .replicas) 1) .autoscaling.enabled) -}}
{{- fail "origin.persistence is SQLite in one volume: set origin.replicas to 1 and leave origin.autoscaling off, or use PostgreSQL" -}}
{{- end -}}
{{- if not (or .persistence.enabled .existingSecret) -}}
{{- fail "set origin.existingSecret to a Secret with database-url and master-key, or origin.persistence.enabled for SQLite" -}}
{{- end -}}
{{- end -}}
{{- end -}}
