package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const eventsShown = 8

// run is what the table shows of a Run.
type runObject struct {
	Metadata struct{ Name string }
	Spec     struct{ Schedule, TimeZone string }
	Status   struct {
		Phase            string
		Active           int
		NextScheduleTime *time.Time
		LastRunTime      *time.Time
		LastResult       *struct{ Job, Outcome, Reason string }
	}
}

// event is what the list below shows of an event.
type event struct {
	EventTime      *time.Time
	FirstTimestamp *time.Time
	Type           string
	Reason         string
	Message        string
	InvolvedObject struct{ Kind, Name string }
}

func (e event) at() time.Time {
	for _, at := range []*time.Time{e.EventTime, e.FirstTimestamp} {
		if at != nil {
			return *at
		}
	}
	return time.Time{}
}

// follow draws the Runs until the context ends: in place on a terminal, line after line elsewhere.
func (d *demo) follow(ctx context.Context) error {
	pause, inPlace := 5*time.Second, false
	if info, err := os.Stdout.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		pause, inPlace = time.Second, true
	}
	lines := 0
	for {
		text, err := d.draw(ctx)
		if err != nil {
			return err
		}
		if inPlace && lines > 0 {
			// Back to the first line of the table: what stands above it stays.
			fmt.Printf("\033[%dA\r\033[J", lines)
		}
		fmt.Print(text)
		lines = strings.Count(text, "\n")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (d *demo) draw(ctx context.Context) (string, error) {
	var runs struct{ Items []runObject }
	if err := d.get(ctx, &runs, "runs"); err != nil {
		return "", err
	}
	var events struct{ Items []event }
	if err := d.get(ctx, &events, "events", "--field-selector=involvedObject.kind=Run"); err != nil {
		return "", err
	}
	leader, _ := d.kubectl(ctx, "", "get", "lease", "marmot-operator.marmotdata.io", "-n", systemNamespace,
		"-o", "jsonpath={.spec.holderIdentity}", "--ignore-not-found")

	now := time.Now()
	var text strings.Builder
	fmt.Fprintf(&text, "%s  leader: %s\n", now.Format(time.TimeOnly), strings.Split(leader+"_", "_")[0])
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "RUN\tSCHEDULE\tPHASE\tNEXT RUN\tACTIVE\tLAST RESULT")
	for _, run := range runs.Items {
		fmt.Fprintln(table, strings.Join(run.row(now), "\t"))
	}
	_ = table.Flush()
	text.WriteString("\n")
	slices.SortStableFunc(events.Items, func(a, b event) int { return a.at().Compare(b.at()) })
	for _, e := range events.Items[max(0, len(events.Items)-eventsShown):] {
		line := fmt.Sprintf("%s  %-9s %-20s %s", e.at().Local().Format(time.TimeOnly), e.InvolvedObject.Name, e.Reason, e.Message)
		fmt.Fprintln(&text, cut(line, 118))
	}
	return text.String() + "\n", nil
}

func (r runObject) row(now time.Time) []string {
	next, last := "-", "-"
	if at := r.Status.NextScheduleTime; at != nil {
		next = "in " + max(0, at.Sub(now)).Round(time.Second).String()
	}
	if result := r.Status.LastResult; result != nil {
		last = result.Outcome + " (" + result.Job + ")"
	}
	schedule := r.Spec.Schedule
	if schedule == "" {
		schedule = "once"
	}
	if r.Spec.TimeZone != "" {
		schedule += " " + r.Spec.TimeZone
	}
	return []string{r.Metadata.Name, schedule, r.Status.Phase, next, fmt.Sprint(r.Status.Active), last}
}

func (d *demo) get(ctx context.Context, into any, args ...string) error {
	out, err := d.kubectl(ctx, "", append([]string{"get", "-n", namespace, "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// cut keeps a line within the terminal.
func cut(line string, width int) string {
	if runes := []rune(line); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return line
}
