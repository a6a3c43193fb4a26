SELECT count() AS Rows FROM observations WHERE $window
