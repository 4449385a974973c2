package passwd

import (
	"errors"
	"reflect"
	"testing"
)

const (
	testPasswd = "root:x:0:0:root:/root:/bin/sh\n# note\nbroken\nweb:x:33:34::/var/www:\n1000:x:7:8::/seven:\nnohome:x:50:51\nbad:x:-1:x::/:\n"
	testGroup  = "root:x:0:\nweb:x:34:\nlogs:x:40:adm,web\nadm:x:41:web\nbad:x:x:web\n"
)

func TestLookup(t *testing.T) {
	for _, tc := range []struct {
		spec    string
		want    User
		unknown bool
	}{
		{spec: "", want: User{Groups: []uint32{0}, Home: "/root"}},
		{spec: "0", want: User{Groups: []uint32{0}, Home: "/root"}},
		{spec: "web", want: User{UID: 33, GID: 34, Groups: []uint32{34, 40, 41}, Home: "/var/www"}},
		{spec: "33", want: User{UID: 33, GID: 34, Groups: []uint32{34, 40, 41}, Home: "/var/www"}},
		{spec: "web:adm", want: User{UID: 33, GID: 41, Groups: []uint32{41}, Home: "/var/www"}},
		{spec: "web:9", want: User{UID: 33, GID: 9, Groups: []uint32{9}, Home: "/var/www"}},
		{spec: ":web", want: User{GID: 34, Groups: []uint32{34}, Home: "/root"}},
		{spec: "1000", want: User{UID: 7, GID: 8, Groups: []uint32{8}, Home: "/seven"}}, // the name wins
		{spec: "4242", want: User{UID: 4242, Groups: []uint32{0}, Home: "/"}},
		{spec: "nohome", want: User{UID: 50, GID: 51, Groups: []uint32{51}, Home: "/"}},
		{spec: "bad", unknown: true},
		{spec: "ghost", unknown: true},
		{spec: "web:ghost", unknown: true},
		{spec: "4294967295", unknown: true},
		{spec: "-1", unknown: true},
	} {
		t.Run(tc.spec, func(t *testing.T) {
			got, err := Lookup(tc.spec, []byte(testPasswd), []byte(testGroup))
			var unknown *Unknown
			if errors.As(err, &unknown) != tc.unknown || (err != nil) != tc.unknown {
				t.Fatal(err)
			}
			if !tc.unknown && !reflect.DeepEqual(got, tc.want) {
				t.Fatalf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func FuzzLookup(f *testing.F) {
	f.Add("web", []byte(testPasswd), []byte(testGroup))
	f.Add("0:0", []byte("::::::\n:"), []byte(":::\n"))
	f.Fuzz(func(t *testing.T, spec string, passwd, group []byte) {
		u, err := Lookup(spec, passwd, group)
		if err != nil {
			return
		}
		if u.UID > 1<<31 || u.GID > 1<<31 || u.Home == "" {
			t.Fatalf("%q: %+v", spec, u)
		}
		Home(u.UID, passwd)
	})
}
