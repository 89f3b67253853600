// Package deploy holds the tests of what is shipped beside the program: the
// manifests and rules under deploy/, docker-compose.yml, and the lists in
// docs/metrics.md.
//
// What has a checker of its own is given to it: promtool loads the alert rules,
// runs their unit tests and parses every query of the dashboard; systemd-analyze
// loads the unit; docker-compose resolves the compose file. The settings in all of
// them are loaded as the program would. Metric names are compared with those of a
// bridge that runs as the Procfile says.
//
// Not covered, because it cannot be had on a machine without a network: the
// manifests are decoded strictly into the few types that they use, not into
// Kubernetes' own, and the dashboard is not opened in Grafana.
package deploy
