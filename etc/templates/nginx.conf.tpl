# Written by Windlass: {{application}}. A deploy overwrites what is changed here.
# windlass-proof /.well-known/windlass/{{application}} {{proof}}
map $http_upgrade $windlass_{{name}}_connection {
    default upgrade;
    "" "";
}

upstream windlass_{{name}} {
    server {{upstream}} max_fails=0;
}

server {
    listen {{listen}};
    server_name {{server_names}};
    client_max_body_size 100m;

    location = /.well-known/windlass/{{application}} {
        default_type text/plain;
        return 200 {{proof}};
    }

    location / {
        proxy_pass http://windlass_{{name}};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Request-Id $request_id;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $windlass_{{name}}_connection;
        proxy_read_timeout 120s;
    }
}
