module elkapi.com/elkapi

go 1.19
