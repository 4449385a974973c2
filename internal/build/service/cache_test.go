package service

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestPruneRequest(t *testing.T) {
	now := time.Unix(1700000000, 0)
	const day = 24 * time.Hour
	for _, row := range []struct {
		query, filter, problem string
		keep                   time.Duration
	}{
		{query: ""},
		{query: `filters={"until":{"24h":true}}`, keep: day},
		{query: `filters={"unused-for":["1699913600"]}`, keep: day},
		{query: `filters={"until":["2023-11-13T22:13:20Z"]}`, keep: day},
		{query: `filters={"id":{"a":true},"type":{"regular":true},"inuse":{"":true}}`, filter: "id~=a,inuse,type==regular"},
		{query: `filters={"until":["soon"]}`, problem: "until=soon"},
		{query: `filters={"until":["1h","2h"]}`, problem: "give one duration"},
		{query: `filters={"id":["a","b"]}`, problem: "give one value"},
		{query: `filters={"size":["a"]}`, problem: `invalid filter "size"`},
		{query: "filters=x", problem: "invalid filter"},
		{query: "max-used-space=much", problem: "max-used-space is in bytes"},
	} {
		q, err := url.ParseQuery("all=1&keep-storage=5&" + row.query)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pruneRequest(q, now)
		if row.problem != "" {
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), row.problem) {
				t.Errorf("%s: %v, want %s", row.query, err, row.problem)
			}
			continue
		}
		if err != nil || !p.All || p.ReservedSpace != 5 || time.Duration(p.KeepDuration) != row.keep || strings.Join(p.Filter, ";") != row.filter {
			t.Errorf("%s: %v, %v", row.query, p, err)
		}
	}
}
