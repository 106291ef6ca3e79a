// Package interop drives Weir with clients that are written in other languages. A client that is not installed fails the test.
package interop

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weirmq/weir/tests/weirtest"
)

const patience = 30 * time.Second

// weir is where the Weir under test listens.
type weir struct{ host, port string }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) weir {
	t.Helper()
	host, port, err := net.SplitHostPort(weirtest.Start(t, weirtest.Options{}).MQTT())
	if err != nil {
		t.Fatal(err)
	}
	return weir{host, port}
}

// client is a running command. Its output is closed when the command has ended.
type client struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	output chan string
	ended  chan error
}

// launch starts a command that ends with the test at the latest.
func launch(t *testing.T, name string, args ...string) *client {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed for this test: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := &client{
		t: t, name: name, cmd: exec.CommandContext(ctx, path, args...),
		output: make(chan string, 1000), ended: make(chan error, 1),
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			c.output <- lines.Text()
		}
		close(c.output)
		c.ended <- c.cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-over
	})
	return c
}

// expect waits for a line of output that contains the text.
func (c *client) expect(text string) {
	c.t.Helper()
	var before []string
	for line := range c.output {
		if strings.Contains(line, text) {
			return
		}
		before = append(before, line)
	}
	c.t.Fatalf("%s ended without %q (%v):\n%s", c.name, text, <-c.ended, strings.Join(before, "\n"))
}

// succeed waits until the command has ended with 0.
func (c *client) succeed() {
	c.t.Helper()
	var output []string
	for line := range c.output {
		output = append(output, line)
	}
	if err := <-c.ended; err != nil {
		c.t.Fatalf("%s: %v\n%s", c.name, err, strings.Join(output, "\n"))
	}
}

func TestMosquittoClients(t *testing.T) {
	w := start(t)
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for qos := range 2 {
			t.Run(fmt.Sprintf("%s QoS %d", version, qos), func(t *testing.T) {
				topic := fmt.Sprintf("mosquitto/%s/%d", version, qos)
				args := func(clientID, user string) []string {
					return []string{
						"-h", w.host, "-p", w.port, "-V", version, "-i", clientID, "-u", user, "-P", "demo",
						"-q", fmt.Sprint(qos), "-t", topic,
					}
				}
				// Into a pipe mosquitto_sub writes whole blocks; stdbuf makes it lines.
				subscriber := launch(t, "stdbuf", append([]string{"-oL", "mosquitto_sub", "-d", "-C", "1", "-F", "%t %p %q"},
					args("subscriber", "demo/service")...)...)
				subscriber.expect("Subscribed (mid")
				launch(t, "mosquitto_pub", append(args("publisher", "demo/device"), "-m", "21.5 °C")...).succeed()
				subscriber.expect(fmt.Sprintf("%s 21.5 °C %d", topic, qos))
				subscriber.succeed()
			})
		}
	}
}

// The script publishes and receives, and fails by itself when what it receives is not what it published.
func TestMQTTjs(t *testing.T) {
	w := start(t)
	for _, version := range []string{"3", "4", "5"} {
		for qos := range 2 {
			t.Run(fmt.Sprintf("version %s QoS %d", version, qos), func(t *testing.T) {
				launch(t, "node", "mqttjs/client.js", w.host, w.port, version, fmt.Sprint(qos)).succeed()
			})
		}
	}
}
