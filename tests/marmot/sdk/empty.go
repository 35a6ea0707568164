// Package marmot stands in for Marmot's client library, which the commands built here do not use.
package marmot
