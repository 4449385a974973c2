FROM busybox
COPY . /src/
