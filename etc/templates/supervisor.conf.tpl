; Written by Windlass: {{application}}, slot {{slot}}. A deploy overwrites what is changed here.
% for name in names:
[program:{{application}}-{{slot}}-{{name}}]
command={{launcher(name)}}
directory={{shared}}
% if user:
user={{user}}
% end
autostart=true
autorestart=true
startsecs=1
startretries=2
stopsignal=TERM
stopwaitsecs={{stop_wait_s}}
stopasgroup={{stop_group(name)}}
killasgroup=true
redirect_stderr=true
stdout_logfile={{logs}}/{{name}}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=5

% end
[group:{{application}}-{{slot}}]
programs={{",".join(f"{application}-{slot}-{name}" for name in names)}}
