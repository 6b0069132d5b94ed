# dft on a machine without a GPU.
#   docker build -t dft .
#   docker run --rm -v "$PWD":/video dft analyze /video/in.mp4
FROM python:3.12-slim
WORKDIR /opt/dft
COPY requirements.lock pyproject.toml README.md LICENSE NOTICE ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps .
WORKDIR /video
ENTRYPOINT ["dft"]
