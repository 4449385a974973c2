package conformance

import (
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type test = func(*testing.T)

// covers says which test looks at a field of the configuration: the Go type of
// the specification and the field's name in JSON. One name of a type alone stands
// for all of its fields.
func covers() map[string]test {
	return map[string]test{
		"Spec.ociVersion": TestVersion, "Spec.process": TestProcessBasics, "Spec.root": TestRoot, "Spec.hostname": TestNames,
		"Spec.domainname": TestNames, "Spec.mounts": TestMountOrder, "Spec.hooks": TestHooks, "Spec.annotations": TestLifecycle, "Spec.linux": TestNewNamespaces,
		"Root.path": TestRoot, "Root.readonly": TestRoot,
		"Mount.destination": TestRelativeDestination, "Mount.type": TestMountTypesAndSources, "Mount.source": TestBindSources,
		"Mount.options": TestMountOptions, "Mount.uidMappings": TestIDMappedMount, "Mount.gidMappings": TestIDMappedMount,
		"Process.terminal": TestTerminal, "Process.consoleSize": TestTerminal, "Process.user": TestUser, "Process.args": TestProcessBasics,
		"Process.env": TestProcessBasics, "Process.cwd": TestProcessBasics, "Process.capabilities": TestCapabilities, "Process.rlimits": TestRlimits,
		"Process.noNewPrivileges": TestNoNewPrivileges, "Process.apparmorProfile": TestLabels, "Process.oomScoreAdj": TestOOMScoreAdj,
		"Process.scheduler": TestScheduler, "Process.selinuxLabel": TestLabels, "Process.ioPriority": TestIOPriority, "Process.execCPUAffinity": TestExecCPUAffinity,
		"Scheduler": TestScheduler, "Scheduler.priority": TestRealtimeScheduler,
		"LinuxCapabilities": TestCapabilities, "LinuxIOPriority": TestIOPriority, "CPUAffinity": TestExecCPUAffinity, "Box": TestTerminal,
		"User": TestUser, "POSIXRlimit": TestRlimits, "Hook": TestHooks, "Hook.timeout": TestHookTimeout, "Hooks": TestHooks,
		"Linux.uidMappings": TestUserNamespace, "Linux.gidMappings": TestUserNamespace, "Linux.sysctl": TestSysctl, "Linux.resources": TestLimits,
		"Linux.cgroupsPath": TestCgroupsPath, "Linux.namespaces": TestNewNamespaces, "Linux.devices": TestDevices, "Linux.netDevices": TestNetDevices,
		"Linux.seccomp": TestSeccompActions, "Linux.rootfsPropagation": TestRootfsPropagation, "Linux.maskedPaths": TestMaskedPaths,
		"Linux.readonlyPaths": TestReadonlyPaths, "Linux.mountLabel": TestLabels, "Linux.intelRdt": TestIntelRdt, "Linux.memoryPolicy": TestMemoryPolicy,
		"Linux.personality": TestPersonality, "Linux.timeOffsets": TestTimeOffsets,
		"LinuxNamespace.type": TestNewNamespaces, "LinuxNamespace.path": TestJoinedNamespaces, "LinuxIDMapping": TestUserNamespace, "LinuxTimeOffset": TestTimeOffsets,
		"LinuxResources.devices": TestDeviceRules, "LinuxResources.memory": TestLimits, "LinuxResources.cpu": TestLimits, "LinuxResources.pids": TestLimits,
		"LinuxResources.blockIO": TestBlockIOThrottle, "LinuxResources.hugepageLimits": TestHugepageLimits, "LinuxResources.network": TestLimits,
		"LinuxResources.rdma": TestRdma, "LinuxResources.unified": TestUnified,
		"LinuxDeviceCgroup": TestDeviceRules, "LinuxMemory": TestLimits, "LinuxMemory.checkBeforeUpdate": TestCheckBeforeUpdate,
		"LinuxCPU": TestLimits, "LinuxCPU.realtimeRuntime": TestRealtime, "LinuxCPU.realtimePeriod": TestRealtime, "LinuxPids": TestLimits,
		"LinuxBlockIO": TestBlockIOThrottle, "LinuxBlockIO.weight": TestBlockIOWeight, "LinuxBlockIO.leafWeight": TestBlockIOWeight, "LinuxBlockIO.weightDevice": TestBlockIOWeight,
		"LinuxBlockIODevice": TestBlockIOThrottle, "LinuxWeightDevice": TestBlockIOWeight, "LinuxThrottleDevice": TestBlockIOThrottle,
		"LinuxHugepageLimit": TestHugepageLimits, "LinuxNetwork": TestLimits, "LinuxInterfacePriority": TestLimits, "LinuxRdma": TestRdma,
		"LinuxDevice": TestDevices, "LinuxNetDevice": TestNetDevices,
		"LinuxSeccomp": TestSeccompDefault, "LinuxSeccomp.syscalls": TestSeccompActions, "LinuxSeccomp.defaultErrnoRet": TestSeccompDefaultErrno,
		"LinuxSeccomp.listenerPath": TestSeccompNotify, "LinuxSeccomp.listenerMetadata": TestSeccompNotify,
		"LinuxSyscall": TestSeccompActions, "LinuxSyscall.args": TestSeccompArguments, "LinuxSeccompArg": TestSeccompArguments,
		"LinuxIntelRdt": TestIntelRdt, "LinuxMemoryPolicy": TestMemoryPolicy, "LinuxPersonality": TestPersonality,
	}
}

// Every field that Linux has is covered.
func TestFields(t *testing.T) {
	used := map[string]bool{}
	seen := map[reflect.Type]bool{}
	table := covers()
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			field := typ.Field(i)
			if platform, ok := field.Tag.Lookup("platform"); ok && !strings.Contains(platform, "linux") {
				continue
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			full := typ.Name() + "." + name
			_, exact := table[full]
			_, whole := table[typ.Name()]
			if !exact && !whole && !field.Anonymous {
				t.Errorf("no test covers %s", full)
			}
			used[full], used[typ.Name()] = true, true
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[specs.Spec]())
	for name := range table {
		if !used[name] {
			t.Errorf("the specification has no %s", name)
		}
	}
}
