# Written by Windlass: {{application}} is closed for maintenance. Lifting that overwrites what is changed here.
# windlass-proof /.well-known/windlass/{{application}} {{proof}}
server {
    listen {{listen}};
    server_name {{server_names}};

    location = /.well-known/windlass/{{application}} {
        default_type text/plain;
        return 200 {{proof}};
    }

    location / {
        default_type text/html;
        charset utf-8;
% if retry_after_s is not None:
        add_header Retry-After {{retry_after_s}} always;
% end
        add_header Cache-Control no-store always;
        return 503 {{page}};
    }
}
