package deploy

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The fields of Kubernetes' types that the manifest uses: another name, or one
// that is misspelt, does not decode.
type (
	labels map[string]string

	meta struct {
		Name        string `yaml:"name"`
		Labels      labels `yaml:"labels"`
		Annotations labels `yaml:"annotations"`
	}
	selector struct {
		MatchLabels labels `yaml:"matchLabels"`
	}
	named struct {
		Name string `yaml:"name"`
	}
	probe struct {
		HTTPGet struct {
			Path string `yaml:"path"`
			Port string `yaml:"port"`
		} `yaml:"httpGet"`
		PeriodSeconds  int `yaml:"periodSeconds"`
		TimeoutSeconds int `yaml:"timeoutSeconds"`
	}
	container struct {
		Name    string   `yaml:"name"`
		Image   string   `yaml:"image"`
		Args    []string `yaml:"args"`
		EnvFrom []struct {
			ConfigMapRef named `yaml:"configMapRef"`
		} `yaml:"envFrom"`
		Env []struct {
			Name      string `yaml:"name"`
			Value     string `yaml:"value"`
			ValueFrom struct {
				SecretKeyRef struct {
					Name string `yaml:"name"`
					Key  string `yaml:"key"`
				} `yaml:"secretKeyRef"`
			} `yaml:"valueFrom"`
		} `yaml:"env"`
		Ports []struct {
			Name          string `yaml:"name"`
			ContainerPort int    `yaml:"containerPort"`
		} `yaml:"ports"`
		LivenessProbe  probe `yaml:"livenessProbe"`
		ReadinessProbe probe `yaml:"readinessProbe"`
		Resources      struct {
			Requests, Limits map[string]string
		} `yaml:"resources"`
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	pod struct {
		AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
		EnableServiceLinks            *bool `yaml:"enableServiceLinks"`
		TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot   bool `yaml:"runAsNonRoot"`
			RunAsUser      int  `yaml:"runAsUser"`
			RunAsGroup     int  `yaml:"runAsGroup"`
			FSGroup        int  `yaml:"fsGroup"`
			SeccompProfile struct {
				Type string `yaml:"type"`
			} `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		TopologySpreadConstraints []struct {
			MaxSkew           int      `yaml:"maxSkew"`
			TopologyKey       string   `yaml:"topologyKey"`
			WhenUnsatisfiable string   `yaml:"whenUnsatisfiable"`
			LabelSelector     selector `yaml:"labelSelector"`
		} `yaml:"topologySpreadConstraints"`
		Containers []container `yaml:"containers"`
		Volumes    []struct {
			Name   string `yaml:"name"`
			Secret struct {
				SecretName  string `yaml:"secretName"`
				DefaultMode int    `yaml:"defaultMode"`
			} `yaml:"secret"`
		} `yaml:"volumes"`
	}

	head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   meta   `yaml:"metadata"`
	}
	secret struct {
		head       `yaml:",inline"`
		Type       string            `yaml:"type"`
		StringData map[string]string `yaml:"stringData"`
	}
	configMap struct {
		head `yaml:",inline"`
		Data map[string]string `yaml:"data"`
	}
	deployment struct {
		head `yaml:",inline"`
		Spec struct {
			Replicas int      `yaml:"replicas"`
			Selector selector `yaml:"selector"`
			Strategy struct {
				RollingUpdate struct {
					MaxUnavailable int `yaml:"maxUnavailable"`
					MaxSurge       int `yaml:"maxSurge"`
				} `yaml:"rollingUpdate"`
			} `yaml:"strategy"`
			Template struct {
				Metadata meta `yaml:"metadata"`
				Spec     pod  `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	budget struct {
		head `yaml:",inline"`
		Spec struct {
			MaxUnavailable             int      `yaml:"maxUnavailable"`
			UnhealthyPodEvictionPolicy string   `yaml:"unhealthyPodEvictionPolicy"`
			Selector                   selector `yaml:"selector"`
		} `yaml:"spec"`
	}
	service struct {
		head `yaml:",inline"`
		Spec struct {
			Selector labels `yaml:"selector"`
			Ports    []struct {
				Name       string `yaml:"name"`
				Port       int    `yaml:"port"`
				TargetPort string `yaml:"targetPort"`
			} `yaml:"ports"`
		} `yaml:"spec"`
	}
)

// manifest decodes every document of the file into the type of its kind.
func manifest(t *testing.T) (s secret, c configMap, d deployment, b budget, v service) {
	t.Helper()
	into := map[string]any{"v1 Secret": &s, "v1 ConfigMap": &c, "apps/v1 Deployment": &d, "policy/v1 PodDisruptionBudget": &b, "v1 Service": &v}
	docs := yaml.NewDecoder(strings.NewReader(read(t, "deploy/kubernetes.yaml")))
	for {
		var node yaml.Node
		if err := docs.Decode(&node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		var h head
		_ = node.Decode(&h) // names the kind; what else is wrong shows below
		kind := h.APIVersion + " " + h.Kind
		if into[kind] == nil {
			t.Fatalf("a second or unknown %s", kind)
		}
		text, err := yaml.Marshal(&node)
		if err != nil {
			t.Fatal(err)
		}
		strict := yaml.NewDecoder(strings.NewReader(string(text)))
		strict.KnownFields(true)
		if err := strict.Decode(into[kind]); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		delete(into, kind)
	}
	if len(into) > 0 {
		t.Fatalf("missing: %v", slices.Sorted(maps.Keys(into)))
	}
	return s, c, d, b, v
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	secret, settings, deployment, budget, service := manifest(t)
	spec := deployment.Spec
	p := spec.Template.Spec
	if len(p.Containers) != 1 || len(p.Volumes) != 1 || len(p.Containers[0].VolumeMounts) != 1 {
		t.Fatal("not one container with one volume")
	}
	c, mount, volume := p.Containers[0], p.Containers[0].VolumeMounts[0], p.Volumes[0]

	// All of them mean the same pods.
	for what, l := range map[string]labels{
		"deployment": spec.Selector.MatchLabels, "budget": budget.Spec.Selector.MatchLabels, "service": service.Spec.Selector,
		"spread": p.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if len(l) == 0 || !maps.Equal(l, spec.Template.Metadata.Labels) {
			t.Errorf("%s selects %v, the pods are %v", what, l, spec.Template.Metadata.Labels)
		}
	}

	// The settings load, and each secret is a file that is there.
	if mount.Name != volume.Name || volume.Secret.SecretName != secret.Metadata.Name || !mount.ReadOnly || volume.Secret.DefaultMode != 0o440 {
		t.Errorf("secrets are mounted as %+v from %+v", mount, volume)
	}
	if len(c.EnvFrom) != 1 || c.EnvFrom[0].ConfigMapRef.Name != settings.Metadata.Name {
		t.Errorf("settings come from %+v", c.EnvFrom)
	}
	env := maps.Clone(settings.Data)
	env["HC_HTTP_ADDR"] = ":8080" // of the image
	for _, e := range c.Env {
		ref := e.ValueFrom.SecretKeyRef
		switch {
		case ref.Key != "":
			value, ok := secret.StringData[ref.Key]
			if !ok || ref.Name != secret.Metadata.Name {
				t.Errorf("%s refers to %+v, which is not there", e.Name, ref)
			}
			env[e.Name] = value
		case strings.HasSuffix(e.Name, "_FILE") && !strings.HasPrefix(e.Value, mount.MountPath+"/"):
			t.Errorf("%s is %s, outside of %s", e.Name, e.Value, mount.MountPath)
		default:
			env[e.Name] = e.Value
		}
	}
	loads(t, env, slices.Collect(maps.Keys(secret.StringData))...)

	// Each process may be replaced while the other works, and drains before.
	if spec.Replicas != 2 || spec.Strategy.RollingUpdate.MaxUnavailable != 1 || budget.Spec.MaxUnavailable != 1 || budget.Spec.UnhealthyPodEvictionPolicy != "AlwaysAllow" {
		t.Errorf("%d replicas, strategy %+v, budget %+v", spec.Replicas, spec.Strategy, budget.Spec)
	}
	if p.TerminationGracePeriodSeconds <= 25 {
		t.Errorf("%d s is not longer than HC_SHUTDOWN_GRACE", p.TerminationGracePeriodSeconds)
	}

	// It is asked where it answers.
	if len(c.Ports) != 1 || c.Ports[0].ContainerPort != 8080 || spec.Template.Metadata.Annotations["prometheus.io/port"] != "8080" {
		t.Errorf("ports %+v", c.Ports)
	}
	for path, pr := range map[string]probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if pr.HTTPGet.Path != path || pr.HTTPGet.Port != c.Ports[0].Name {
			t.Errorf("probe %+v, want %s", pr, path)
		}
	}
	if service.Spec.Ports[0].TargetPort != c.Ports[0].Name {
		t.Errorf("the service leads to port %q", service.Spec.Ports[0].TargetPort)
	}

	// It may do nothing that it need not.
	off := func(b *bool) bool { return b != nil && !*b }
	if !off(p.AutomountServiceAccountToken) || !off(p.EnableServiceLinks) || !off(c.SecurityContext.AllowPrivilegeEscalation) ||
		!c.SecurityContext.ReadOnlyRootFilesystem || !slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}) ||
		!p.SecurityContext.RunAsNonRoot || p.SecurityContext.RunAsUser == 0 || p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("the pod may too much: %+v %+v", p.SecurityContext, c.SecurityContext)
	}
	if c.Resources.Limits["memory"] == "" || c.Resources.Requests["cpu"] == "" || c.Resources.Limits["cpu"] != "" {
		t.Errorf("resources %+v", c.Resources)
	}
}
