module github.com/marmotdata/marmot/sdk/go

go 1.26.1
