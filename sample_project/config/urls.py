"""The sample shop's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from shop import error_pages, pages
from shop.api_docs import DocsView, SchemaView
from shop.tokens import LogoutAllView, LogoutView, OneTokenView, TokensView, TokenView
from shop.views import BalanceView, OrdersView, PacksView

from django_feexpay.api.metrics import MetricsView

urlpatterns = [
    path("", pages.home, name="home"),
    path("buy/", pages.buy, name="buy"),
    path("sign-out/", pages.sign_out, name="sign_out"),
    path("return/", pages.payment_return, name="return"),
    path("return/app/", pages.app_return, name="app_return"),
    path("api/v1/", pages.api_by_example, name="api"),
    path("api/v1/auth/token/", TokenView.as_view(), name="token"),
    path("api/v1/auth/tokens/", TokensView.as_view(), name="tokens"),
    re_path("^api/v1/auth/tokens/(?P<token_id>[0-9a-f]{32})/$", OneTokenView.as_view(), name="one_token"),
    path("api/v1/auth/logout/", LogoutView.as_view(), name="logout"),
    path("api/v1/auth/logout-all/", LogoutAllView.as_view(), name="logout_all"),
    path("api/v1/shop/packs/", PacksView.as_view(), name="packs"),
    path("api/v1/shop/balance/", BalanceView.as_view(), name="balance"),
    path("api/v1/shop/orders/", OrdersView.as_view(), name="orders"),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(), name="docs"),
    path("api/v1/payments/feexpay/", include("django_feexpay.urls")),
    path("pay/", include("django_feexpay.checkout.urls")),
    path("metrics", MetricsView.as_view(), name="metrics"),  # where Prometheus looks by default
    path("admin/", admin.site.urls),
    path("language/", include("django.conf.urls.i18n")),
    re_path("^api/", error_pages.not_found),
]

handler400 = "shop.error_pages.bad_request"
handler403 = "shop.error_pages.forbidden"
handler404 = "shop.error_pages.not_found"
handler500 = "shop.error_pages.internal_error"
