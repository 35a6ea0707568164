// Package auth stands in for a part of Marmot's client library.
package auth
