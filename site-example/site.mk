# For Gluon v2023.2 and later: features and packages are in image-customization.lua.

GLUON_RELEASE ?= 1.0+exp$(shell date '+%Y%m%d')
GLUON_PRIORITY ?= 0
GLUON_REGION ?= eu
GLUON_LANGS ?= en de fr
GLUON_MULTIDOMAIN := 1
