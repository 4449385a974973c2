module example.com/server

require example.com/router v1.0.0
