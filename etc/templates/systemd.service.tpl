# unit windlass-{{application}}-{{slot}}.{{name}}.service
# Written by Windlass. A deploy overwrites what is changed here.
[Unit]
Description=Windlass: {{name}} of {{application}}, slot {{slot}}
% if is_system:
After=network.target
% end
StartLimitIntervalSec=10
StartLimitBurst=3

[Service]
Type=exec
ExecStart=/bin/sh {{launcher}}
WorkingDirectory={{shared}}
% if user:
User={{user}}
% end
Restart=always
RestartSec=1
KillSignal=SIGTERM
KillMode={{kill_mode}}
TimeoutStopSec={{stop_wait_s}}
StandardOutput=append:{{logs}}/{{name}}.log
StandardError=inherit

[Install]
WantedBy={{"multi-user.target" if is_system else "default.target"}}
