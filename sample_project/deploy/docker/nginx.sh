#!/bin/sh
# Makes the site of ../nginx fit the containers: gunicorn listens on web:8000, and the files are in volumes.
# The image of nginx runs it before it starts, from /docker-entrypoint.d.
set -eu
sed -e 's|server unix:/run/shop/web.sock fail_timeout=0;|server web:8000 fail_timeout=0;|' \
    -e 's|/srv/shop/current/sample_project/staticfiles/|/srv/static/|' \
    -e "s|shop\\.example|${SHOP_HOST:?}|g" /etc/shop/nginx/shop.conf >/etc/nginx/conf.d/default.conf
mkdir -p /etc/nginx/snippets /var/www/letsencrypt
cp /etc/shop/nginx/shop-proxy.conf /etc/shop/nginx/shop-headers.conf /etc/nginx/snippets/
