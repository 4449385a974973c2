package dockerd

import "slices"

// setting is a flag of dockerd, of any version from 20.10 to 29, or a key of its
// file that has no flag.
type setting struct {
	name, short string
	key         string // in daemon.json, if it is not name
	kind        kind
	as          string // the engine's own flag; "" if there is none
	same        string // a value that asks for what is so anyway: not worth a warning
}

type kind int

const (
	text kind = iota
	yesNo
	list
	fileOnly
)

// settings is the whole table.
func settings() []setting { return slices.Concat(honoured(), ignored()) }

// honoured are those that do here what they do there.
func honoured() []setting {
	return []setting{
		{name: "cdi-spec-dir", key: "cdi-spec-dirs", kind: list, as: "cdi-spec-dir"},
		{name: "cgroup-parent", as: "cgroup-parent"},
		{name: "bip", as: "bridge-subnet"},
		{name: "data-root", as: "data-root"},
		{name: "graph", short: "g", as: "data-root"},
		{name: "debug", short: "D", kind: yesNo, as: "debug"},
		{name: "exec-root", as: "exec-root"},
		{name: "group", short: "G", as: "group"},
		{name: "host", short: "H", key: "hosts", kind: list, as: "host"},
		{name: "insecure-registry", key: "insecure-registries", kind: list, as: "insecure-registry"},
		{name: "label", key: "labels", kind: list, as: "label"},
		{name: "log-driver", as: "log-driver"},
		{name: "log-level", short: "l", as: "log-level"},
		{name: "log-opt", key: "log-opts", kind: list, as: "log-opt"},
		{name: "metrics-addr", as: "metrics-addr"},
		{name: "pidfile", short: "p", as: "pidfile"},
		{name: "registry-mirror", key: "registry-mirrors", kind: list, as: "registry-mirror"},
		{name: "tlscacert", as: "tlscacert"},
		{name: "tlscert", as: "tlscert"},
		{name: "tlskey", as: "tlskey"},
		{name: "tlsverify", kind: yesNo, as: "tlsverify"},
		{name: "userns-remap", as: "userns-remap"},
	}
}

// ignored are accepted with a warning.
func ignored() []setting {
	return append([]setting{
		{name: "add-runtime", key: "runtimes", kind: list},
		{name: "allow-direct-routing", kind: yesNo, same: "false"},
		{name: "allow-nondistributable-artifacts", kind: list},
		{name: "api-cors-header"},
		{name: "authorization-plugin", key: "authorization-plugins", kind: list},
		{name: "bip6"},
		{name: "bridge", short: "b"},
		{name: "bridge-accept-fwmark"},
		{name: "builder", kind: fileOnly},
		{name: "cluster-advertise"},
		{name: "cluster-store"},
		{name: "cluster-store-opt", key: "cluster-store-opts", kind: list},
		{name: "containerd"},
		{name: "containerd-namespace"},
		{name: "containerd-plugins-namespace", key: "containerd-plugin-namespace"},
		{name: "cpu-rt-period"},
		{name: "cpu-rt-runtime"},
		{name: "cri-containerd", kind: yesNo, same: "false"},
		{name: "default-address-pool", key: "default-address-pools", kind: list},
		{name: "default-cgroupns-mode"},
		{name: "default-gateway"},
		{name: "default-gateway-v6"},
		{name: "default-ipc-mode", same: "private"},
		{name: "default-network-opt", key: "default-network-opts", kind: list},
		{name: "default-runtime"},
		{name: "default-shm-size"},
		{name: "default-ulimit", key: "default-ulimits", kind: list},
		{name: "deprecated-key-path"},
		{name: "dns", kind: list},
		{name: "dns-opt", key: "dns-opts", kind: list},
		{name: "dns-search", kind: list},
		{name: "exec-opt", key: "exec-opts", kind: list, same: "native.cgroupdriver=cgroupfs"},
		{name: "experimental", kind: yesNo, same: "false"},
		{name: "feature", key: "features", kind: list},
		{name: "firewall-backend", same: "nftables"},
		{name: "fixed-cidr"},
		{name: "fixed-cidr-v6"},
		{name: "host-gateway-ip", kind: list},
		{name: "host-gateway-ips", kind: fileOnly},
		{name: "http-proxy"},
		{name: "https-proxy"},
		{name: "icc", kind: yesNo, same: "true"},
		{name: "init", kind: yesNo, same: "false"},
		{name: "init-path"},
	}, furtherIgnored()...)
}

func furtherIgnored() []setting {
	return []setting{
		{name: "ip", same: "0.0.0.0"},
		{name: "ip-forward", kind: yesNo, same: "true"},
		{name: "ip-forward-no-drop", kind: yesNo, same: "true"},
		{name: "ip-masq", kind: yesNo, same: "true"},
		{name: "ip6tables", kind: yesNo, same: "true"},
		{name: "iptables", kind: yesNo, same: "true"},
		{name: "ipv6", kind: yesNo, same: "false"},
		{name: "live-restore", kind: yesNo, same: "true"},
		{name: "log-format", same: "text"},
		{name: "max-concurrent-downloads"},
		{name: "max-concurrent-uploads"},
		{name: "max-download-attempts"},
		{name: "min-api-version", kind: fileOnly},
		{name: "mtu"},
		{name: "network-control-plane-mtu"},
		{name: "network-diagnostic-port"},
		{name: "no-new-privileges", kind: yesNo, same: "false"},
		{name: "no-proxy"},
		{name: "node-generic-resource", key: "node-generic-resources", kind: list},
		{name: "nri-opts", kind: fileOnly},
		{name: "oom-score-adjust"},
		{name: "proxies", kind: fileOnly},
		{name: "raw-logs", kind: yesNo, same: "false"},
		{name: "rootless", kind: yesNo, same: "false"},
		{name: "seccomp-profile", same: "builtin"},
		{name: "selinux-enabled", kind: yesNo, same: "false"},
		{name: "shutdown-timeout"},
		{name: "storage-driver", short: "s"},
		{name: "storage-opt", key: "storage-opts", kind: list},
		{name: "swarm-default-advertise-addr"},
		{name: "tls", kind: yesNo, same: "false"},
		{name: "userland-proxy", kind: yesNo, same: "false"},
		{name: "userland-proxy-path"},
	}
}
