from __future__ import annotations
from django.http import HttpResponse


def home(request):
    return HttpResponse("x")


def api_by_example(request):
    return HttpResponse("x")
