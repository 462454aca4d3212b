package configs_test

import (
	"testing"

	"doorway/configs"
	"doorway/gateway/config"
)

// TestSample is the promise that the shipped file starts a server.
func TestSample(t *testing.T) {
	c, err := config.Parse("doorway.toml", configs.Sample())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	if c.SMSDomain() != "sms.office.example" || len(c.AdminJIDs()) != 1 {
		t.Errorf("config %+v", c)
	}
}
