package networks

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSubnets(t *testing.T) {
	for _, row := range []struct{ subnets, ranges, gateways, aux, want string }{
		{"", "", "", "", "null"},
		{"10.0.0.0/24", "", "", "", `[{"Subnet":"10.0.0.0/24"}]`},
		{"10.0.0.0/24 fd00::/64", "10.0.0.128/25", "fd00::9 10.0.0.254", "10.0.0.5", `[{"Subnet":"10.0.0.0/24","IPRange":"10.0.0.128/25","Gateway":"10.0.0.254","AuxiliaryAddresses":{"x":"10.0.0.5"}},{"Subnet":"fd00::/64","Gateway":"fd00::9"}]`},
		{"", "10.0.0.0/25", "", "", "every ip-range or gateway must have a corresponding subnet"},
		{"10.0.0.0/24", "10.1.0.0/25", "", "", "no matching subnet for range 10.1.0.0/25"},
		{"10.0.0.0/24", "", "10.1.0.1", "", "no matching subnet for gateway 10.1.0.1"},
		{"10.0.0.0/24", "", "", "10.1.0.1", "no matching subnet for aux-address 10.1.0.1"},
		{"10.0.0.0/24 10.0.0.0/25", "", "", "", "multiple overlapping subnet configuration is not supported"},
		{"10.0.0.0/24 10.1.0.0/24", "", "10.0.0.1 10.0.0.2", "", "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)"},
		{"10.0.0.0", "", "", "", "invalid subnet 10.0.0.0: write it as ADDRESS/BITS"},
	} {
		aux := map[string]string{}
		if row.aux != "" {
			aux["x"] = row.aux
		}
		list, err := Subnets(strings.Fields(row.subnets), strings.Fields(row.ranges), strings.Fields(row.gateways), aux)
		got, _ := json.Marshal(list)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}
