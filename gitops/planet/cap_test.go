package planet

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What a repository allows itself counts only within what who runs the loop
// allows: a list that is longer than the cap opens nothing, and one that is
// shorter stays as short.
func TestCap(t *testing.T) {
	const main = `apiVersion: pando/v1
zones: [{name: eu}]
root: {addresses: ["root:9091"]}
clusters: [{name: eu-1, zone: eu}]
waves: [{name: all}]
allow: {files: [/etc/pando/], hosts: ["*.corp"], discovery: [static, http, file]}
deploy:
  image: pando
  leaf: {secrets: [{name: scrape, path: /etc/pando/scrape}], tls: {secret: leaf-tls}}
`
	const jobs = `scrape_configs:
  - job_name: a
    basic_auth: {username: a, password_file: /etc/pando/scrape/p}
    http_sd_configs: [{url: "http://sd.corp/"}]
`
	all := Cap{Files: []string{"/etc/"}, Hosts: []string{"sd.corp"}, Discovery: []string{"static", "http"}, Secrets: []string{"scrape", "leaf-tls"}}
	with := func(change func(*Cap)) *Cap {
		c := all
		change(&c)
		return &c
	}
	for name, c := range map[string]struct {
		cap  *Cap
		jobs string
		want string // part of what is refused, "" for nothing
	}{
		"no cap":                     {nil, jobs, ""},
		"an empty cap":               {&Cap{}, jobs, ""},
		"all within":                 {&all, jobs, ""},
		"files":                      {with(func(c *Cap) { c.Files = []string{"/etc/pando/other/"} }), jobs, "--allow.file"},
		"no files":                   {with(func(c *Cap) { c.Files = []string{} }), jobs, "--allow.file"},
		"hosts":                      {with(func(c *Cap) { c.Hosts = []string{"api.corp"} }), jobs, "--allow.host"},
		"discovery":                  {with(func(c *Cap) { c.Discovery = []string{"static"} }), jobs, "--allow.discovery"},
		"secrets":                    {with(func(c *Cap) { c.Secrets = []string{"leaf-tls"} }), jobs, "mounts the Secret \"scrape\""},
		"secrets of TLS":             {with(func(c *Cap) { c.Secrets = []string{"scrape"} }), jobs, "mounts the Secret \"leaf-tls\""},
		"not on the repository's":    {&all, strings.Replace(jobs, "/etc/pando/scrape/p", "/etc/shadow", 1), "add it to allow.files of planet.yaml, or"},
		"neither on one nor another": {with(func(c *Cap) { c.Files = []string{} }), strings.Replace(jobs, "/etc/pando/scrape/p", "/etc/shadow", 1), "allow.files of planet.yaml and to the control loop's --allow.file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Validate(fstest.MapFS{"planet.yaml": {Data: []byte(main)}, "scrape/a.yml": {Data: []byte(c.jobs)}}, CheckOptions{Cap: c.cap})
			text := ""
			for _, p := range problems {
				if p.Severity == Error {
					text += p.String() + "\n"
				}
			}
			if c.want == "" && text != "" || !strings.Contains(text, c.want) || c.want != "" && strings.Count(text, "\n") != 1 {
				t.Fatalf("refused:\n%swant %q alone", text, c.want)
			}
		})
	}
}
