# The service alone: ONNX Runtime, no TensorFlow. The model is not inside; tell it one of
#   docker run -p 8080:8080 -v "$PWD/model.onnx:/model.onnx:ro" -e SKINCNN_MODEL=/model.onnx IMAGE
#   AIP_STORAGE_URI=gs://bucket/folder   as Vertex AI sets it, and Cloud Run may
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Large photographs come and go in several threads: fewer heaps give their memory back sooner.
ENV MALLOC_ARENA_MAX=2

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY skincnn ./skincnn
# google-cloud-storage fetches gs:// models; the rest of the extra `cloud` deploys, and is not needed.
RUN pip install ".[serve]" "google-cloud-storage>=3.12" && rm -rf /app/*

RUN useradd --system --uid 10001 skincnn
USER skincnn

EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + (os.environ.get('AIP_HTTP_PORT') or os.environ.get('PORT') or '8080') + '/health', timeout=4)"]
ENV PORT=8080
CMD ["skincnn", "serve", "--host", "0.0.0.0"]
